import { OggOpusDecoder } from '@moshi/opus';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LOST, roaming, settled, takeUp } from './support/roaming';
import { opusPages } from './support/wire';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('a server that keeps conversations', () => {
  it('is asked in the query, beside everything else, and only then', async () => {
    const { session, transports, log } = await roaming({ voice: 'NATF2' }, { extensions: ['resume'] });
    expect(session.resumable).toBe(true);
    expect(transports[0]!.url).not.toMatch(/resume|received/);
    transports[0]!.receive({ type: 'text', text: 'one' });
    transports[0]!.receive({ type: 'event', name: 'anything' });
    transports[0]!.receiveRaw(new Uint8Array(0));
    transports[0]!.hangUp(LOST);
    vi.advanceTimersByTime(1);
    const { searchParams } = new URL(transports[1]!.url);
    expect(Object.fromEntries(searchParams)).toMatchObject({ resume: 'first', received: '3', extensions: '1' });
    expect(searchParams.get('voice_prompt')).toBe('NATF2.pt');
    await takeUp(session, transports[1]!, { heard: 0, next: 4, replayed: 2 });
    expect(log.at(-1)).toMatchObject(['resumed', { replayedMessages: 2, resentMs: 0, droppedMs: 0 }]);
    vi.advanceTimersByTime(1);
    transports[1]!.receive({ type: 'text', text: 'two' });
    transports[1]!.hangUp(LOST);
    vi.advanceTimersByTime(1);
    expect(transports[2]!.url).toMatch(/resume=next&received=4/);
  });

  it('gets what it has not heard, on a stream that begins anew, and the messages it has not taken', async () => {
    const { session, transports, log } = await roaming({}, { extensions: ['resume', 'control'] });
    session.sendAudio(new Float32Array(960 * 10));
    session.endTurn();
    session.pause();
    transports[0]!.hangUp(LOST);
    session.sendAudio(new Float32Array(960));
    vi.advanceTimersByTime(1);
    await takeUp(session, transports[1]!, { heard: 960 * 7, next: 1, taken: 1 });
    expect(log.at(-1)).toMatchObject(['resumed', { resentMs: 120, droppedMs: 0 }]);
    // The headers, three pages unheard and one of the time between; then the message.
    expect(transports[1]!.sent.map(({ type }) => type)).toEqual([...Array(5).fill('audio'), 'control']);
    expect(transports[1]!.sent.at(-1)).toEqual({ type: 'control', action: 'pause' });
    transports[1]!.hangUp();
  });

  it('that goes on with another message than the next is not believed', async () => {
    const { session, transports, log } = await roaming({}, { extensions: ['resume'] });
    transports[0]!.receive({ type: 'text', text: 'one' });
    transports[0]!.hangUp(LOST);
    vi.advanceTimersByTime(1);
    await takeUp(session, transports[1]!, { heard: 0, next: 3 });
    expect(log.at(-1)).toMatchObject(['closed', { error: { code: 'malformed' } }]);
  });

  it('goes on with the reply’s stream and clock', async () => {
    const { session, transports } = await roaming({}, { extensions: ['resume'] });
    const pages = await opusPages(2);
    const decoders = vi.spyOn(OggOpusDecoder, 'create');
    const times: number[] = [];
    session.on('audio', ({ time, pcm }) => times.push(time, pcm.length));
    for (const data of pages.slice(0, 3)) transports[0]!.receive({ type: 'audio', data });
    transports[0]!.hangUp(LOST);
    vi.advanceTimersByTime(1);
    await takeUp(session, transports[1]!, { heard: 0, next: 4 });
    vi.advanceTimersByTime(1);
    for (const data of pages.slice(3)) transports[1]!.receive({ type: 'audio', data });
    expect(times).toEqual([0, 960, 0.04, 960, 0.08, 960, 0.12, 960]);
    expect(decoders).not.toHaveBeenCalled();
    expect(session.metrics).toMatchObject({ lostPackets: 0, reconnects: 1, resumes: 1 });
    transports[1]!.hangUp();
  });
});

describe('a stock server', () => {
  it('begins a new conversation, on a clock that goes on, and is never asked for the old one', async () => {
    const { session, transports, log } = await roaming();
    const pages = await opusPages(1);
    const times: number[] = [];
    session.on('audio', ({ time }) => times.push(time));
    for (const data of pages) transports[0]!.receive({ type: 'audio', data });
    transports[0]!.hangUp(LOST);
    session.sendAudio(new Float32Array(960));
    vi.advanceTimersByTime(1);
    expect(transports[1]!.url).toBe(transports[0]!.url);
    transports[1]!.accept();
    expect(session.state).toEqual({ status: 'waiting' });
    transports[1]!.receive({ type: 'handshake' });
    await settled(session);
    expect(log.at(-1)).toMatchObject(['new-conversation', { reason: 'not-offered' }]);
    // What was said to the one before is none of its business.
    expect(transports[1]!.sent).toEqual([]);
    vi.advanceTimersByTime(1);
    for (const data of pages) transports[1]!.receive({ type: 'audio', data });
    expect(times).toEqual([0, 0.04, 0.08, 0.12]);
    expect(session.metrics).toMatchObject({ reconnects: 1, resumes: 0, droppedSeconds: 0.04 });
    transports[1]!.hangUp();
  });
});
