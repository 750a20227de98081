// Calls the worker. Nothing there encodes or decodes: that is done here.
import assert from 'node:assert/strict';
import { connect } from '@moshi/client';
import { compareEnvelopes, scriptedServer, speechLike } from '@moshi/client/testing';
import { createServer, loopbackEngine } from '@moshi/server';
import { Miniflare } from 'miniflare';
import { chaosProxy } from './chaos-proxy.mjs';

const SECONDS = 2;
/** In frames of 80 ms: half of what is said. */
const CUT_AT = 12;
const KEY = 'secret';

/** A session without codecs, and who it talks with. */
async function byPackets(dialect) {
  const server = scriptedServer(undefined, { dialect });
  const session = await connect(server.url, { transport: server.transport, codecs: false });
  return { session, peer: await server.nextPeer() };
}

/** What a server of this family makes of sound: Opus packets of 40 ms, of PersonaPlex 20 ms. */
async function encode(pcm, dialect) {
  const { session, peer } = await byPackets(dialect);
  const packets = [];
  const all = new Promise((resolve) => {
    session.on('packets', (event) => {
      packets.push(...event.packets);
      if (session.metrics.audioReceivedSeconds >= pcm.length / 24_000) resolve();
    });
  });
  peer.speak(pcm);
  await all;
  await session.close();
  return packets;
}

async function decode(packets) {
  const { session, peer } = await byPackets();
  session.sendPackets(packets.map((bytes) => Uint8Array.from(bytes)));
  await session.finish();
  await session.close();
  await peer.left;
  return peer.heard;
}

/** Says back what it hears, and a word in its first frame; calls `onFrame` with the number of each. */
function wordyEngine(onFrame = () => {}) {
  const engine = loopbackEngine();
  return {
    info: engine.info,
    close: () => engine.close(),
    async open(options) {
      const session = await engine.open(options);
      const on = session.on.bind(session);
      return Object.assign(session, {
        on(name, listener) {
          if (name !== 'frame') return on(name, listener);
          return on(name, (frame) => {
            listener({ ...frame, text: frame.step % 10 === 0 ? ` word${frame.step}` : null });
            onFrame(frame.step);
          });
        },
      });
    },
  };
}

function assertHeard(said, heard, what) {
  const { correlation, delayMs } = compareEnvelopes(said, heard, { maxDelayMs: 400 });
  assert(correlation > 0.95, `${what}: what came back is like what was said by ${correlation.toFixed(3)}`);
  console.log(
    `${what}: heard ${(heard.length / 24_000).toFixed(2)} s, alike by ${correlation.toFixed(3)}, ${delayMs} ms late`,
  );
}

const said = speechLike(SECONDS);
// A codec and a loopback that is a frame late hold the end back until something follows it.
const spoken = new Float32Array(said.length + 2 * 1920);
spoken.set(said);

const server = await createServer({ engine: wordyEngine(), port: 0, keys: [KEY] });
const other = await createServer({ engine: loopbackEngine(), port: 0 });
const cut = await createServer({ engine: wordyEngine((step) => step === CUT_AT - 1 && chaos.cut()), port: 0 });
const chaos = await chaosProxy({ port: Number(new URL(cut.url).port) });
const withKey = `${server.url}?key=${encodeURIComponent(KEY)}`;
const worker = new Miniflare({
  scriptPath: 'worker.js',
  modules: true,
  compatibilityDate: '2025-09-01',
  bindings: { SERVER: server.url, KEY },
  durableObjects: { CALL: 'Call' },
});
async function inWorker(scene, given) {
  const answer = await worker.dispatchFetch('http://worker/', {
    method: 'POST',
    body: JSON.stringify({ scene, ...given }),
  });
  return answer.json();
}

const packets = (await encode(spoken, 'personaplex')).map((packet) => [...packet]);
const talk = async (what, given) => {
  const { packets: answer, ...seen } = await inWorker('talk', { packets, seconds: SECONDS, ...given });
  assert(answer, `${what}: ${JSON.stringify(seen)}`);
  assertHeard(said, await decode(answer), what);
  return seen;
};

const { text } = await talk('packets', { servers: [withKey] });
assert.equal(text, ' word0 word10 word20');
await talk('from one server to another', { servers: [withKey, other.url] });
const { text: words, resumed } = await talk('a lost connection', { servers: [chaos.url], cutAfter: CUT_AT * 4 });
assert.equal(words, ' word0 word10 word20');
assert.deepEqual(resumed, [{ droppedMs: 0 }]);

const why = (address, options = { codecs: false }) => inWorker('refuse', { server: address, options });
for (const [{ code, message }, expected, words] of [
  [await why(server.url), 'refused', /HTTP 401: A key is needed/],
  [await why(new URL('/api/nothing', server.url).href), 'refused', /HTTP 404: There is nothing here/],
  [await why(withKey, {}), 'unsupported', /give codecs: false/],
  [await why(withKey, { codecs: false, insecure: true }), 'unsupported', /leave out insecure/],
]) {
  assert.equal(code, expected, message);
  assert.match(message, words);
}

// To whom the worker is the server.
const session = await connect(String(await worker.ready));
const heard = [];
const captions = [];
session.on('text', ({ text }) => captions.push(text));
const enough = new Promise((resolve, reject) => {
  session.on('audio', ({ pcm, time }) => {
    heard.push(...pcm);
    if (time >= SECONDS) resolve();
  });
  session.on('closed', ({ error, code }) => reject(error ?? new Error(`closed: ${code}`)));
});
session.sendAudio(spoken);
await enough;
await session.close();
assertHeard(said, Float32Array.from(heard), 'through a worker');
assert.equal(captions.join(''), ' word0 word10 word20');

await worker.dispose();
await chaos.close();
for (const each of [server, other, cut]) await each.close();
