import { afterEach, describe, expect, it, vi } from 'vitest';
import { fakeSession } from './support/fake-session';
import { speech } from './support/signal';
import { opusPages } from './support/wire';

afterEach(() => {
  vi.useRealTimers();
});

const refused = (code: string) => expect.objectContaining({ code });

describe('control messages', () => {
  it('go out as the protocol has them', async () => {
    const { transport, session } = await fakeSession({}, ['control']);
    session.pause();
    session.resume();
    session.endTurn();
    session.control('restart');
    const actions = transport.sent.map((message) => message.type === 'control' && message.action);
    expect(actions).toEqual(['pause', 'start', 'endTurn', 'restart']);
    transport.hangUp();
    for (const send of [session.pause, session.resume, session.endTurn]) {
      expect(() => send.call(session)).toThrow(refused('closed'));
    }
  });
});

describe('a pause', () => {
  it('is no silence and no latency on a server that obeys', async () => {
    const { transport, session } = await fakeSession({ idleTimeoutMs: 30 }, ['control']);
    session.pause();
    session.sendSilence(8000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(session.state.status).toBe('ready');
    session.resume();
    session.sendSilence(80);
    for (const data of await opusPages(1)) transport.receive({ type: 'audio', data });
    expect(session.metrics.roundTripMs).toBeLessThan(100);
    transport.hangUp();
  });

  it('changes nothing on a server that does not', async () => {
    const { transport, session } = await fakeSession({ idleTimeoutMs: 30 });
    session.pause();
    session.sendSilence(8000);
    await vi.waitFor(() => expect(session.state).toEqual({ status: 'closing' }), 20_000);
    transport.hangUp();
  });
});

describe('a restart', () => {
  const announced = ['control', 'restarted'];
  const settled = async (promise: Promise<unknown>) => {
    const state = { is: 'pending' };
    promise.then(
      () => {
        state.is = 'resolved';
      },
      () => {
        state.is = 'rejected';
      },
    );
    await new Promise((resolve) => setImmediate(resolve));
    return state.is;
  };

  it('is through when the server says so, once for all who asked', async () => {
    const { transport, session } = await fakeSession({}, announced);
    const first = session.restart();
    const second = session.restart();
    transport.receive({ type: 'text', text: 'old' });
    expect(await settled(first)).toBe('pending');
    transport.receive({ type: 'event', name: 'restarted' });
    expect([await settled(first), await settled(second)]).toEqual(['resolved', 'resolved']);
    transport.hangUp();
  });

  it('throws away what waits, without calling it dropped, and what was not answered is no latency', async () => {
    const { transport, session, names } = await fakeSession({}, announced);
    const [header, ...pages] = await opusPages(1);
    session.sendAudio(speech(8));
    transport.bufferedAmount = 10_000_000;
    session.sendAudio(speech(1));
    expect(session.metrics.bufferedMs).toBe(1000);
    const handedOver = session.finish();
    void session.restart();
    expect(session.metrics.bufferedMs).toBe(0);
    // Nothing is left that the network has to take.
    await handedOver;
    transport.bufferedAmount = 0;
    transport.receive({ type: 'event', name: 'restarted' });
    session.sendAudio(speech(0.1));
    await session.finish();
    // The last frame is filled up as if nothing had been thrown away: 8 s, and 0.1 s make two frames.
    expect(session.metrics.audioSentSeconds).toBeCloseTo(8.16);
    for (const data of [header!, ...pages]) transport.receive({ type: 'audio', data });
    expect(session.metrics.roundTripMs).toBeLessThan(200);
    expect(names()).not.toContain('dropped');
    transport.hangUp();
  });

  it('may take its time to read prompts; after it silence is silence again', async () => {
    const { transport, session } = await fakeSession({ idleTimeoutMs: 30 }, announced);
    void session.restart();
    session.sendSilence(8000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(session.state.status).toBe('ready');
    transport.receive({ type: 'event', name: 'restarted' });
    session.sendSilence(8000);
    await vi.waitFor(() => expect(session.state).toEqual({ status: 'closing' }), 20_000);
    transport.hangUp();
  });

  it('fails when the session ends first, and why', async () => {
    const { transport, session } = await fakeSession({}, announced);
    const restart = session.restart();
    transport.receive({ type: 'error', message: 'The engine failed: no memory' });
    transport.hangUp({ code: 1011 });
    await expect(restart).rejects.toMatchObject({ code: 'closed', cause: { cause: { code: 'server' } } });
    await expect(session.restart()).rejects.toMatchObject({ code: 'closed' });
  });

  it('is not to be had from servers that cannot', async () => {
    const { transport, session } = await fakeSession({}, ['control']);
    await expect(session.restart()).rejects.toMatchObject({ code: 'unsupported' });
    expect(transport.sent).toEqual([]);
    transport.hangUp();
  });
});
