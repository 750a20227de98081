import { OggOpusDecoder, OggOpusEncoder } from '@moshi/opus';
import { encodeMessage, FRAME_SAMPLES } from '@moshi/protocol';
import type { Peer, Script } from './server';

const bytes = (...values: number[]) => Uint8Array.from(values);
const rustHandshake = new Uint8Array(9);
const audio = (data: Uint8Array) => encodeMessage({ type: 'audio', data });
const text = (value: string) => encodeMessage({ type: 'text', text: value });
const concat = (parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

/** What the models of the scripted servers say: frame n of the answer comes with piece n, undefined is padding. */
export const pieces = [' hel', 'lo', undefined, ' <0xF0>', '<0x9F>', '<0x98>', '<0x80>', '!'];

interface Model {
  /** The frames of input that the client's message completes. */
  hear(data: Uint8Array): Float32Array[];
  readonly voice: OggOpusEncoder;
  free(): void;
}

async function loadModel(packetsPerPage: number, frameMs: 20 | 40): Promise<Model> {
  const [ear, voice] = await Promise.all([
    OggOpusDecoder.create(),
    OggOpusEncoder.create({ frameMs, packetsPerPage, preSkip: 3840 }),
  ]);
  let rest = new Float32Array(0);
  return {
    voice,
    hear(data) {
      const pcm = ear.decode(data);
      const all = new Float32Array(rest.length + pcm.length);
      all.set(rest);
      all.set(pcm, rest.length);
      const frames = Math.floor(all.length / FRAME_SAMPLES);
      rest = all.slice(frames * FRAME_SAMPLES);
      return Array.from({ length: frames }, (_, i) => all.slice(i * FRAME_SAMPLES, (i + 1) * FRAME_SAMPLES));
    },
    free() {
      ear.free();
      voice.free();
    },
  };
}

/** Calls `step` for each answer; the model answers `delay` frames late, by repeating what it heard. */
async function converse(peer: Peer, model: Model, delay: number, step: (pcm: Float32Array, piece?: string) => void) {
  const pending: Float32Array[] = [];
  let steps = 0;
  for (let message = await peer.next(); message !== undefined; message = await peer.next()) {
    if (message.type !== 'audio') continue;
    for (const frame of model.hear(message.data)) {
      pending.push(frame);
      if (pending.length > delay) step(pending.shift()!, pieces[steps++]);
    }
  }
  model.free();
}

/** Kyutai's Python server: one caller at a time, the others wait without a sign; F frames give F - 1 answers. */
export function kyutaiPython(): Script {
  let lock: Promise<void> = Promise.resolve();
  return async (peer) => {
    const mine = lock;
    let release = () => {};
    lock = new Promise((resolve) => {
      release = resolve;
    });
    try {
      await mine;
      const model = await loadModel(1, 40);
      peer.send(bytes(0), audio(model.voice.header()));
      await converse(peer, model, 1, (pcm, piece) => {
        peer.send(audio(concat(model.voice.encode(pcm))));
        if (piece !== undefined) peer.send(text(piece));
      });
    } finally {
      release();
    }
  };
}

export const krsMetadata = { text_temperature: 0.8, lm_model_file: 'model.safetensors', instance_name: 'scripted' };

/** Kyutai's Rust moshi-backend: metadata first, 9 bytes of handshake, headers inside the first audio message. */
export function kyutaiRust(): Script {
  return async (peer) => {
    for (const name of [
      'text_temperature',
      'audio_temperature',
      'text_topk',
      'audio_topk',
      'text_seed',
      'audio_seed',
    ]) {
      const value = peer.query.get(name);
      if (value !== null && !Number.isFinite(Number(value))) return peer.socket.terminate();
    }
    peer.send(encodeMessage({ type: 'metadata', data: krsMetadata }), rustHandshake);
    const model = await loadModel(1, 40);
    const headers = [model.voice.header()];
    await converse(peer, model, 2, (pcm, piece) => {
      for (const page of model.voice.encode(pcm)) peer.send(audio(concat([...headers.splice(0), page])));
      if (piece !== undefined) peer.send(text(piece));
    });
  };
}

/** NVIDIA's server: drops callers without voice and prompt or with a seed; prompts; text before audio; no delay. */
export function personaPlex(prompting: Promise<void> = Promise.resolve()): Script {
  return async (peer) => {
    const { query, socket } = peer;
    if (!query.get('voice_prompt')?.endsWith('.pt') || !query.get('text_prompt') || query.has('seed')) {
      // Its handler fails after the upgrade: the connection just drops.
      return socket.terminate();
    }
    await prompting;
    peer.inbox.length = 0;
    const model = await loadModel(4, 20);
    const header = model.voice.header();
    const second = header.findIndex(
      (_, at) => at > 0 && String.fromCharCode(...header.subarray(at, at + 4)) === 'OggS',
    );
    peer.send(bytes(0), audio(header.slice(0, second)), audio(header.slice(second)));
    await converse(peer, model, 0, (pcm, piece) => {
      if (piece !== undefined) peer.send(text(piece));
      peer.send(audio(concat(model.voice.encode(pcm))));
    });
  };
}

/** The Lm module of moshi-server: 9 bytes of handshake, headers in a message of their own, text before audio. */
export function moshiServerLm(): Script {
  return async (peer) => {
    const model = await loadModel(1, 40);
    peer.send(rustHandshake, audio(model.voice.header()));
    await converse(peer, model, 2, (pcm, piece) => {
      if (piece !== undefined) peer.send(text(piece));
      peer.send(audio(concat(model.voice.encode(pcm))));
    });
  };
}
