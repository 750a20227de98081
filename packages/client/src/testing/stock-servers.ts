import { resumingServer } from './resuming-server';
import type { ServerScript } from './types';

/** What the scripted models say: frame n of the answer comes with piece n, undefined is padding. */
export const stockPieces: readonly (string | undefined)[] = [
  ...[' hel', 'lo', undefined, ' <0xF0>', '<0x9F>', '<0x98>', '<0x80>', '!'],
];

/** What the scripted moshi-backend says about itself. */
export const moshiRustMetadata: unknown = {
  text_temperature: 0.8,
  lm_model_file: 'model.safetensors',
  instance_name: 'scripted',
};

const samplingNumbers = [
  ...['text_temperature', 'audio_temperature', 'text_topk', 'audio_topk', 'text_seed', 'audio_seed'],
];

/** Scripts that behave on the wire as the published servers do; each says back what it hears, and "hello 😀!". */
export const stockServers = {
  /** Kyutai's Python server: one caller at a time, the others wait without a sign; F frames give F - 1 answers. */
  moshi(): ServerScript {
    let turn: Promise<unknown> = Promise.resolve();
    return {
      dialect: 'moshi',
      async play(peer) {
        const mine = turn;
        turn = mine.then(() => peer.left);
        await mine;
        peer.handshake();
        peer.echo({ delayFrames: 1, words: stockPieces });
      },
    };
  },

  /** Kyutai's Rust moshi-backend: metadata first, 9 bytes of handshake, headers inside the first audio message. */
  moshiRust(): ServerScript {
    return {
      dialect: 'moshi-rust',
      metadata: moshiRustMetadata,
      play(peer) {
        const given = samplingNumbers.flatMap((name) => peer.query.get(name) ?? []);
        if (given.some((value) => !Number.isFinite(Number(value)))) return peer.drop();
        peer.handshake();
        peer.echo({ delayFrames: 2, words: stockPieces });
      },
    };
  },

  /** NVIDIA's server: drops callers without voice and prompt or with a seed; prompts, for as long as `prompting`; text before audio. */
  personaPlex(options: { readonly prompting?: Promise<void> } = {}): ServerScript {
    return {
      dialect: 'personaplex',
      async play(peer) {
        const { query } = peer;
        // Its handler fails after the upgrade: the connection just drops.
        if (!query.get('voice_prompt')?.endsWith('.pt') || !query.get('text_prompt') || query.has('seed')) {
          return peer.drop();
        }
        await options.prompting;
        peer.handshake();
        peer.echo({ words: stockPieces });
      },
    };
  },

  /** The Lm module of moshi-server: 9 bytes of handshake, headers in a message of their own, text before audio. */
  moshiServer(): ServerScript {
    return {
      dialect: 'moshi-server',
      play(peer) {
        peer.handshake();
        peer.echo({ delayFrames: 2, words: stockPieces });
      },
    };
  },

  resuming: resumingServer,
};
