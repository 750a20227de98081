import { afterEach, describe, expect, it } from 'vitest';
import type { RemoteEngineOptions } from '../src/index';
import { announcing, closeEngines, engineFor, failure, opened } from './support/remote';
import type { Peer } from './support/server';
import { event, opusPages, pageMessages } from './support/wire';

afterEach(closeEngines);

describe('texts on a remote server', () => {
  const speaking = ['say', 'control', 'restarted'];

  async function speakingSession(options: RemoteEngineOptions = {}, extensions = speaking) {
    const { server, engine } = await engineFor(announcing(extensions), options);
    const all = await opened(engine);
    const [peer] = server.peers;
    return { ...all, server, peer: peer! };
  }
  const taken = (peer: Peer) =>
    peer.inbox.splice(0).map((message) => (message.type === 'event' ? message : message.type));

  it('go as events with the connection’s numbers, and come back with the engine’s', async () => {
    const { session, log, peer } = await speakingSession();
    expect(session.say?.('One two.', { floor: 'wait' })).toBe(1);
    expect(session.say?.('Three.')).toBe(2);
    await expect.poll(() => peer.inbox.length).toBe(2);
    expect(taken(peer)).toMatchObject([
      { name: 'say', data: { id: 1, text: 'One two.', floor: 'wait' } },
      { name: 'say', data: { id: 2, text: 'Three.' } },
    ]);
    const [header, ...pages] = pageMessages(await opusPages(3));
    const half = (i: number) => [pages[2 * i]!, pages[2 * i + 1]!];
    const text = (piece: string) => Uint8Array.of(2, ...Buffer.from(piece));
    peer.send(event('say-start', { id: -1, text: 'not ours' }), event('say-word', { id: 9, word: 'invented' }));
    peer.send(header!, event('say-start', { id: 1, text: 'One two.' }), event('say-word', { id: 1, word: 'One' }));
    peer.send(...half(0), text(' One'), event('say-word', { id: 1, word: 'two.' }), ...half(1), text(' two.'));
    peer.send(event('say-end', { id: 1, text: 'One two.', completed: true }), ...half(2));
    await expect.poll(() => log.length).toBe(7);
    expect(log).toEqual([
      'frame 0',
      'start 1 One two.',
      'word 1 One',
      'frame 1 One',
      'word 1 two.',
      'frame 2 two.',
      'end 1 One two. true',
    ]);
    session.cancelSay?.(2);
    session.cancelSay?.(2000);
    session.interrupt?.();
    session.endTurn?.();
    await expect.poll(() => peer.inbox.length).toBe(3);
    expect(taken(peer)).toMatchObject([{ name: 'say-cancel', data: { id: 2 } }, { name: 'interrupt' }, 'control']);
    peer.send(event('say-end', { id: 2, text: '', completed: false }));
    await expect.poll(() => log.at(-1)).toBe('end 2  false');
  });

  it('that the server refuses end unspoken; what no engine speaks is refused here', async () => {
    const { session, log, peer } = await speakingSession();
    session.say?.('a # b');
    peer.send(event('say-error', { id: 1, message: 'no piece for #' }));
    await expect.poll(() => log).toEqual(['end 1  false']);
    for (const text of ['', ' \n', 'x'.repeat(10_001), 5 as never]) {
      expect(() => session.say?.(text)).toThrow(expect.objectContaining({ code: 'ENGINE_BAD_OPTION' }));
    }
    expect(() => session.say?.('x', { floor: 'mine' as never })).toThrow(
      expect.objectContaining({ code: 'ENGINE_BAD_OPTION' }),
    );
    for (let i = 0; i < 100; i++) expect(session.say?.('word')).toBe(2 + i);
    expect(() => session.say?.('word')).toThrow(expect.objectContaining({ code: 'ENGINE_BAD_OPTION' }));
  });

  it('end when the connection does', async () => {
    const { session, log, peer } = await speakingSession();
    session.say?.('One.');
    session.say?.('Two.');
    peer.socket.terminate();
    await expect.poll(() => log.length).toBe(3);
    expect(log).toEqual(['end 1  false', 'end 2  false', expect.any(Error)]);
    expect(() => session.say?.('Three.')).toThrow(expect.objectContaining({ code: 'ENGINE_FAILED' }));
  });

  it('end when the conversation begins anew; the next ones belong to the new one', async () => {
    const { session, log, peer, server } = await speakingSession();
    session.say?.('Before.');
    session.say?.('Forgotten by the server.');
    session.push(new Float32Array(1900));
    const reset = session.reset();
    expect(session.say?.('After.')).toBe(3);
    session.push(new Float32Array(1000));
    session.push(new Float32Array(1000));
    session.say?.('Never mind.');
    session.cancelSay?.(4);
    await expect.poll(() => peer.inbox.length).toBe(3);
    expect(taken(peer)).toMatchObject([{ name: 'say' }, { name: 'say' }, 'control']);
    const [header, ...pages] = pageMessages(await opusPages(2));
    // Still of the old conversation.
    peer.send(
      header!,
      pages[0]!,
      pages[1]!,
      Uint8Array.of(2, 65),
      event('say-end', { id: 1, text: '', completed: false }),
    );
    peer.send(event('restarted'), pages[2]!, pages[3]!);
    await reset;
    await expect.poll(() => peer.inbox.length).toBe(4);
    expect(taken(peer)).toMatchObject([{ name: 'say', data: { text: 'After.' } }, 'audio', 'audio', 'audio']);
    expect(server.peers).toHaveLength(1);
    expect(log).toEqual(['end 4  false', 'end 1  false', 'end 2  false']);
  });

  it('that wait for a new conversation end when it begins anew once more', async () => {
    const { session, log, peer } = await speakingSession();
    const first = session.reset();
    session.say?.('Waiting.');
    const second = session.reset();
    expect(log).toEqual(['end 1  false']);
    await expect.poll(() => peer.inbox.length).toBe(1);
    peer.send(event('restarted'));
    await first;
    await expect.poll(() => peer.inbox.length).toBe(2);
    peer.send(event('restarted'));
    await second;
    expect(taken(peer)).toEqual(['control', 'control']);
  });

  it('can be forced on a server that announces nothing, as plain text', async () => {
    const { session, log, peer } = await speakingSession({ forceSay: true }, []);
    session.say?.('Hello.');
    session.cancelSay?.();
    expect(session.interrupt ?? session.endTurn).toBeUndefined();
    await expect.poll(() => peer.inbox).toEqual([{ type: 'text', text: 'Hello.' }]);
    expect(log).toEqual(['end 1 Hello. true']);
  });

  it('a restart that the server never confirms is a failure', async () => {
    const { session } = await speakingSession({ handshakeTimeoutMs: 1000 });
    expect(await failure(session.reset())).toMatchObject({
      code: 'ENGINE_FAILED',
      message: expect.stringMatching(/anew/),
    });
  });
});
