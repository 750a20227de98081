import { concat } from '@moshi/protocol/audio';
import { createServer, loopbackEngine, type Server, type ServerOptions } from '@moshi/server';
import { afterEach, describe, expect, it } from 'vitest';
import { connect, connectStream, type MoshiError } from '../src/index';
import { envelopeCorrelation, speech } from './support/signal';

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ graceMs: 100 })));
});

async function serve(options: Partial<ServerOptions> = {}): Promise<Server> {
  const server = await createServer({ engine: loopbackEngine(), host: '127.0.0.1', port: 0, ...options });
  servers.push(server);
  return server;
}

describe('with @moshi/server', () => {
  it('a recording comes back as it went', async () => {
    const server = await serve();
    const pcm = speech(3);
    const audio: Float32Array[] = [];
    for await (const event of connectStream(server.url, [pcm])) if (event.type === 'audio') audio.push(event.pcm);
    const reply = concat(audio);
    expect(reply.length).toBe(Math.ceil(pcm.length / 1920) * 1920);
    expect(envelopeCorrelation(pcm, reply)).toBeGreaterThan(0.9);
  });

  it('the server announces itself and its extensions, and speaks as moshi', async () => {
    const server = await serve();
    const session = await connect(server.url, { voice: 'NATF0' });
    expect(session.dialect).toBe('moshi');
    expect(session.extensions.has('control')).toBe(true);
    expect(session.metadata).toMatchObject({ model: 'loopback' });
    await session.close();
    expect(session.state).toEqual({ status: 'closed', code: 1000, reason: '' });
    const plain = await connect(server.url, { extensions: false });
    expect(plain.metadata).toBeUndefined();
    await plain.close();
  });

  it('a restart starts anew and the conversation goes on', async () => {
    const server = await serve();
    const session = await connect(server.url);
    const restarted = new Promise<void>((resolve) =>
      session.on('message', (message) => message.type === 'event' && message.name === 'restarted' && resolve()),
    );
    session.sendSilence(800);
    session.control('restart');
    await restarted;
    const audio = new Promise((resolve) => session.once('audio', resolve));
    session.sendSilence(800);
    expect(await audio).toMatchObject({ pcm: expect.any(Float32Array) });
    await session.close();
  });

  it('the place in line is told, and the slot is had when it is free', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }) });
    const first = await connect(server.url);
    const positions: unknown[] = [];
    const second = connect(server.url, {
      on: {
        waiting: ({ position }) => {
          positions.push(position);
          if (position === 1) void first.close();
        },
      },
    });
    await (await second).close();
    expect(positions).toContain(1);
  });

  it('its reasons arrive', async () => {
    const server = await serve();
    const session = await connect(server.url, { reconnect: false });
    const closed = new Promise((resolve) => session.once('closed', resolve));
    await server.close();
    expect(await closed).toMatchObject({
      code: 1001,
      error: { code: 'closed', retryable: true, cause: { code: 'server' } },
    });
    const refused = await serve({ keys: ['right'] });
    const error = await connect(refused.url).then(
      () => expect.fail(),
      (thrown: MoshiError) => thrown,
    );
    expect(error).toMatchObject({ code: 'refused', retryable: false, message: expect.stringContaining('401') });
  });
});
