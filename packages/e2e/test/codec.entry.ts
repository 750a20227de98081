/** A page that talks with a server in its own memory, and counts the browser's encoders. */
import { connect } from '@moshi/client';
import { compareEnvelopes, scriptedServer, speechLike, stockServers } from '@moshi/client/testing';

declare global {
  var talk: TalkInPage;
}

const Browsers = globalThis.AudioEncoder;
const encoders: AudioEncoderInit[] = [];
globalThis.AudioEncoder = class extends Browsers {
  constructor(init: AudioEncoderInit) {
    super(init);
    encoders.push(init);
  }
};

/** What a server heard of four seconds of speech, and by whom it was encoded. */
async function talkTo(encoder: 'auto' | 'webcodecs' | 'wasm', breakdown: boolean) {
  const server = scriptedServer(stockServers.moshi());
  const errors: string[] = [];
  const session = await connect(server.url, {
    transport: server.transport,
    audio: { encoder },
    on: { error: ({ code, message }) => errors.push(`${code}: ${message}`) },
  });
  const words = speechLike(4);
  for (let at = 0; at < words.length; at += 1920) {
    session.sendAudio(words.subarray(at, at + 1920));
    if (breakdown && at === 48_000) encoders.at(-1)!.error(new DOMException('reclaimed', 'QuotaExceededError'));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await session.finish();
  const { heard } = server.peers[0]!;
  await session.close();
  server.assertComplete();
  // Where the encoder changed a little is missing.
  const part = 1.8 * 24_000;
  const [first, last] = [
    compareEnvelopes(words.subarray(0, part), heard.subarray(0, part)),
    compareEnvelopes(words.subarray(-part), heard.subarray(-part)),
  ];
  return { first, last, seconds: heard.length / 24_000, encoders: encoders.length, errors };
}

Object.assign(globalThis, { talk: talkTo });

export type TalkInPage = typeof talkTo;
