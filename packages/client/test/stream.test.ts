import { OggOpusDecoder, OggOpusEncoder } from '@moshi/opus';
import { encodeMessage } from '@moshi/protocol';
import { concat } from '@moshi/protocol/audio';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { connectStream, type MoshiError, type StreamEvent, type StreamOptions } from '../src/index';
import { closeServers, type Peer, type Script, scriptedServer } from './support/server';
import { envelopeCorrelation, speech } from './support/signal';
import { kyutaiPython, personaPlex } from './support/stock-servers';

afterEach(closeServers);

type Frames = Parameters<typeof connectStream>[1];

async function collect(url: string, frames: Frames, options?: StreamOptions): Promise<StreamEvent[]> {
  const events: StreamEvent[] = [];
  for await (const event of connectStream(url, frames, options)) events.push(event);
  return events;
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.fail(),
    (error: MoshiError) => error,
  );
const samplesOf = (events: StreamEvent[]) =>
  events.reduce((sum, event) => sum + (event.type === 'audio' ? event.pcm.length : 0), 0);

/** Shakes hands and answers with `answer`; frames are counted as the two 40 ms pages that make one. */
function counting(answer: (peer: Peer, heard: number, say: (frames: number) => void) => void): Script {
  return async (peer) => {
    const voice = await OggOpusEncoder.create();
    const headers = [voice.header()];
    let pages = -1;
    const say = (frames: number) => {
      for (const page of voice.encode(new Float32Array(frames * 1920))) {
        peer.send(encodeMessage({ type: 'audio', data: Buffer.concat([...headers.splice(0), page]) }));
      }
    };
    peer.send(Uint8Array.of(0));
    for (let message = await peer.next(); message; message = await peer.next()) {
      pages++;
      if (pages % 2 === 0 && pages > 0) answer(peer, pages / 2, say);
    }
    voice.free();
  };
}

describe('connectStream', () => {
  it('answers every frame, whatever the pieces are, and ends with the figures', async () => {
    const server = await scriptedServer(kyutaiPython());
    const pcm = speech(1);
    async function* pieces() {
      for (let at = 0; at < pcm.length; at += 777) yield pcm.subarray(at, at + 777);
    }
    const events = await collect(server.url, pieces());
    expect(samplesOf(events)).toBe(13 * 1920);
    expect(events[0]).toEqual({ type: 'state', state: { status: 'waiting' } });
    expect(events[1]).toEqual({ type: 'state', state: { status: 'ready' } });
    expect(events.at(-2)).toEqual({ type: 'state', state: { status: 'closed', code: 1000, reason: '' } });
    expect(events.at(-1)).toMatchObject({ type: 'metrics', metrics: { audioSentSeconds: 16 * 0.08 } });
    expect(server.violations).toEqual([]);
  });

  it('runs a window ahead of what came back, no more and no less', async () => {
    let said = 0;
    const ahead: number[] = [];
    // Answers only when the client has used its whole window: a smaller one would never be answered.
    const server = await scriptedServer(
      counting((_, heard, say) => {
        ahead.push(heard - said);
        if (heard === 63) say(63 - said);
        else if (heard - said === 12) {
          say(1);
          said++;
        }
      }),
    );
    const events = await collect(server.url, [new Float32Array(60 * 1920)]);
    expect(Math.max(...ahead)).toBe(12);
    expect(samplesOf(events)).toBe(60 * 1920);
  });

  it('has a window and a tail to choose', async () => {
    let heard = 0;
    const server = await scriptedServer(
      counting((_, frames, say) => {
        heard = frames;
        if (frames % 4 === 0) say(4);
      }),
    );
    const events = await collect(server.url, [new Float32Array(10 * 1920)], { windowFrames: 4, tailFrames: 2 });
    expect(samplesOf(events)).toBe(10 * 1920);
    expect(heard).toBe(12);
  });

  it('sends no more than is read', async () => {
    let heard = 0;
    const server = await scriptedServer(
      counting((_, frames, say) => {
        heard = frames;
        say(1);
      }),
    );
    let read = 0;
    for await (const event of connectStream(server.url, [new Float32Array(100 * 1920)])) {
      if (event.type !== 'audio') continue;
      read += event.pcm.length / 1920;
      if (read === 20) await new Promise((resolve) => setTimeout(resolve, 100));
      expect(heard).toBeLessThanOrEqual(read + 12);
    }
    expect(read).toBe(100);
  });

  it('needs no tail where the server answers at once', async () => {
    const server = await scriptedServer(personaPlex());
    const options = { voice: 'NATF0', tailFrames: 0 };
    const events = await collect(server.url, [speech(0.8)], options);
    expect(samplesOf(events)).toBe(10 * 1920);
  });

  it('has nothing to do for no input', async () => {
    const server = await scriptedServer(kyutaiPython());
    const events = await collect(server.url, []);
    expect(events.map((event) => event.type)).toEqual(['state', 'state', 'state', 'state', 'metrics']);
    expect(server.peers[0]?.inbox).toEqual([]);
  });

  it('yields faults that the session survives', async () => {
    const server = await scriptedServer(
      counting((peer, heard, say) => {
        if (heard === 3) peer.send('a text frame');
        say(1);
      }),
    );
    const events = await collect(server.url, [new Float32Array(5 * 1920)]);
    expect(events.filter((event) => event.type === 'error')).toMatchObject([{ error: { code: 'malformed' } }]);
    expect(samplesOf(events)).toBe(5 * 1920);
  });

  it('calls the caller’s own listeners too', async () => {
    const server = await scriptedServer(kyutaiPython());
    const state = vi.fn();
    const text = vi.fn();
    await collect(server.url, [speech(0.4)], { on: { state, text } });
    expect(state).toHaveBeenCalledWith({ status: 'ready' });
    expect(text).toHaveBeenCalledWith({ text: ' hel', time: 0.08 });
  });
});

describe('leaving the loop', () => {
  it('closes the session and tells the source', async () => {
    const free = vi.spyOn(OggOpusDecoder.prototype, 'free').mockClear();
    const server = await scriptedServer(counting((_peer, _heard, say) => say(1)));
    let returned = false;
    async function* source() {
      try {
        for (;;) yield new Float32Array(1920);
      } finally {
        returned = true;
      }
    }
    for await (const event of connectStream(server.url, source())) if (event.type === 'audio') break;
    expect(returned).toBe(true);
    await vi.waitFor(() => expect(server.peers[0]?.socket.readyState).toBe(3), 20_000);
    expect(free).toHaveBeenCalledTimes(1);
  });

  it('does not wait for a source that is stuck', async () => {
    const server = await scriptedServer(counting((_peer, _heard, say) => say(1)));
    async function* source() {
      yield new Float32Array(5 * 1920);
      await new Promise(() => {});
    }
    for await (const event of connectStream(server.url, source())) if (event.type === 'audio') break;
    await vi.waitFor(() => expect(server.peers[0]?.socket.readyState).toBe(3), 20_000);
  });

  it('works before the server is ready', async () => {
    const server = await scriptedServer(() => {});
    for await (const event of connectStream(server.url, [speech(1)])) {
      expect(event).toEqual({ type: 'state', state: { status: 'waiting' } });
      break;
    }
    await vi.waitFor(() => expect(server.peers[0]?.socket.readyState).toBe(3), 20_000);
  });
});

describe('errors are thrown', () => {
  const second = [new Float32Array(24_000)];

  it('when connecting fails', async () => {
    const server = await scriptedServer(personaPlex());
    expect(await failure(collect(server.url, second))).toMatchObject({ code: 'closed' });
    for (const options of [{ windowFrames: 3 }, { tailFrames: -1 }, { textTopK: -1 }]) {
      expect(await failure(collect(server.url, second, options))).toMatchObject({ code: 'bad-option' });
    }
  });

  it('when the server leaves before it has answered', async () => {
    const server = await scriptedServer(
      counting((peer, _, say) => {
        say(1);
        peer.socket.close(1000);
      }),
    );
    expect(await failure(collect(server.url, second))).toMatchObject({
      code: 'closed',
      message: expect.stringMatching(/\d+ ms of input unanswered/),
    });
  });

  it('when the connection breaks', async () => {
    const server = await scriptedServer(counting((peer) => peer.socket.terminate()));
    expect(await failure(collect(server.url, second))).toMatchObject({ code: 'closed', retryable: true });
  });

  it('in the server’s own words where it has some', async () => {
    const server = await scriptedServer(
      counting((peer) => {
        peer.send(encodeMessage({ type: 'error', message: 'The engine failed.' }));
        peer.socket.close(1011, 'engine error');
      }),
    );
    expect(await failure(collect(server.url, second))).toMatchObject({ code: 'server', message: 'The engine failed.' });
  });

  it('when the server stops answering, also if it answers with text only', async () => {
    const mute = await scriptedServer(counting(() => {}));
    expect(await failure(collect(mute.url, second, { idleTimeoutMs: 50 }))).toMatchObject({ code: 'silent' });
    const writer = await scriptedServer(counting((peer) => peer.send(encodeMessage({ type: 'text', text: 'x' }))));
    // Longer than the interval of the metrics, which are no sign of life of the server.
    expect(await failure(collect(writer.url, second, { idleTimeoutMs: 1500 }))).toMatchObject({ code: 'silent' });
  });

  it('when the server floods a reader that takes its time', async () => {
    const server = await scriptedServer(
      counting((peer, heard) => {
        if (heard === 2) for (let i = 0; i < 20_000; i++) peer.send(encodeMessage({ type: 'text', text: 'x' }));
      }),
    );
    const run = async () => {
      for await (const event of connectStream(server.url, second)) {
        if (event.type === 'text') await vi.waitFor(() => expect(server.peers[0]?.socket.readyState).toBe(3), 10_000);
      }
    };
    expect(await failure(run())).toMatchObject({ code: 'malformed' });
  });

  it('when the tail is too short for the model’s delay', async () => {
    const server = await scriptedServer(kyutaiPython());
    const error = await failure(collect(server.url, second, { tailFrames: 0, idleTimeoutMs: 2000 }));
    expect(error).toMatchObject({
      code: 'silent',
      message: expect.stringMatching(/with 1 frames unanswered.*tailFrames/),
    });
  });

  it('when the signal fires', async () => {
    const server = await scriptedServer(counting((_peer, _heard, say) => say(1)));
    const controller = new AbortController();
    const stream = connectStream(server.url, [new Float32Array(10_000_000)], { signal: controller.signal });
    const run = async () => {
      for await (const event of stream) if (event.type === 'audio') controller.abort(new Error('enough'));
    };
    expect(await failure(run())).toMatchObject({ code: 'aborted', cause: { message: 'enough' } });
    const before = collect(server.url, second, { signal: AbortSignal.abort() });
    expect(await failure(before)).toMatchObject({ code: 'aborted' });
  });

  it('when the source fails or yields something else', async () => {
    const server = await scriptedServer(counting((_peer, _heard, say) => say(1)));
    async function* broken() {
      yield new Float32Array(1920);
      throw new RangeError('the file is cut');
    }
    expect(await failure(collect(server.url, broken()))).toMatchObject({
      name: 'RangeError',
      message: 'the file is cut',
    });
    expect(await failure(collect(server.url, [[0, 1]] as never))).toMatchObject({ code: 'bad-option' });
  });
});

it('gives back the very audio that the server sent', async () => {
  const server = await scriptedServer(async (peer) => {
    peer.send(Uint8Array.of(0));
    // An echo of the client's own Ogg bytes.
    for (let message = await peer.next(); message; message = await peer.next()) peer.send(encodeMessage(message));
  });
  const pcm = speech(2);
  const events = await collect(server.url, [pcm]);
  const reply = concat(events.flatMap((event) => (event.type === 'audio' ? [event.pcm] : [])));
  expect(reply.length).toBe(48_000);
  expect(envelopeCorrelation(pcm, reply)).toBeGreaterThan(0.9);
  expect(server.violations).toEqual([]);
});
