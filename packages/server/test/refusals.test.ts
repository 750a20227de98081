import type { Socket } from 'node:net';
import { loopbackEngine } from '@moshi/server';
import { describe, expect, it } from 'vitest';
import type { ClientOptions } from 'ws';
import { Client } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { nextSession, serve } from './support/fixture';

describe('a bad query', () => {
  it('is told in words after the upgrade, every parameter by name', async () => {
    const engine = new FakeEngine();
    const server = await serve({ engine });
    const client = await Client.open(server, '?text_temperature=hot&audio_topk=-3&voice_prompt=../secret.pt&seed=4');
    const { message } = await client.next('error');
    for (const name of ['text_temperature', 'audio_topk', 'voice_prompt']) expect(message).toContain(name);
    expect(message).not.toContain('seed');
    expect(await client.closed).toEqual({ code: 1008, reason: 'bad parameters' });
    expect(engine.asked).toEqual([]);
    expect(server.sessions.size).toBe(0);
  });

  it('of a client that then breaks the rules costs nothing but that client', async () => {
    const engine = new FakeEngine({ voices: ['NATF0'] });
    let list = () => {};
    const listed = new Promise<void>((resolve) => {
      list = resolve;
    });
    const voices = engine.voices!;
    Object.assign(engine, { voices: () => listed.then(voices) });
    const server = await serve({ engine });
    const client = await Client.open(server, '?voice_prompt=../secret.pt');
    const { _socket: wire } = client.socket as unknown as { _socket: Socket };
    // A frame with reserved bits, while its answer is looked up.
    wire.write(Buffer.from([0xf2, 0x80, 0, 0, 0, 0]));
    expect(await client.closed).toMatchObject({ code: 1002 });
    list();
    await Client.ready(server);
  });

  it('of the official web clients is good', async () => {
    const server = await serve({ engine: loopbackEngine() });
    const common =
      'text_temperature=0.7&text_topk=25&audio_temperature=0.8&audio_topk=250&pad_mult=0&text_seed=112233&audio_seed=445566' +
      '&repetition_penalty_context=64&repetition_penalty=1';
    await Client.ready(
      server,
      `?worker_auth_id=&email=&${common}&image_url=http%3A%2F%2Fx%2Fy.png&image_resolution=224`,
    );
    await Client.ready(server, `?${common}&text_prompt=You+enjoy+having+a+good+conversation.&voice_prompt=NATF0.pt`);
  });
});

describe('an engine', () => {
  it('that refuses an option is quoted and closes with 1008', async () => {
    const engine = new FakeEngine({
      opening: ({ voice }) => {
        throw Object.assign(new Error(`there is no voice ${voice}: use NATF0`), { code: 'ENGINE_BAD_OPTION' });
      },
    });
    const server = await serve({ engine });
    const failures: Error[] = [];
    server.on('error', (error) => failures.push(error));
    const client = await Client.open(server, '?voice_prompt=nobody');
    expect(await client.next('error')).toEqual({ type: 'error', message: 'there is no voice nobody: use NATF0' });
    expect(await client.closed).toEqual({ code: 1008, reason: 'bad option' });
    expect(failures).toEqual([]);
    expect(client.of('handshake')).toEqual([]);
  });

  it('that fails to open closes with 1011, and the server goes on', async () => {
    let broken = true;
    const engine = new FakeEngine({
      opening: () => {
        if (broken) throw new Error('out of\nmemory');
      },
    });
    const server = await serve({ engine });
    const failed = new Promise((resolve) => server.once('error', resolve));
    const client = await Client.open(server);
    expect(await client.next('error')).toMatchObject({ message: 'The engine failed: out of memory' });
    expect(await client.closed).toEqual({ code: 1011, reason: 'engine error' });
    expect(await failed).toMatchObject({ message: 'out of\nmemory' });
    broken = false;
    await Client.ready(server);
  });

  it('that fails in a conversation closes that one with 1011 and frees its slot', async () => {
    const engine = new FakeEngine({ slots: 2 });
    const server = await serve({ engine });
    const client = await Client.ready(server);
    const other = await Client.ready(server);
    const waiting = await Client.open(server);
    engine.opened[0]!.emit('error', new Error('lost the device'));
    expect(await client.next('error')).toMatchObject({ message: 'The engine failed: lost the device' });
    expect(await client.closed).toMatchObject({ code: 1011 });
    await waiting.next('handshake');
    expect(engine.opened[0]!.closed).toBe(true);
    expect(other.socket.readyState).toBe(other.socket.OPEN);
  });

  it('that cannot close does not keep its slot from the next one', async () => {
    const engine = new FakeEngine();
    const server = await serve({ engine });
    const client = await Client.ready(server);
    const waiting = await Client.open(server);
    const fake = engine.opened[0]!;
    fake.close = async () => {
      fake.closed = true;
      engine.active--;
      throw new Error('cannot close');
    };
    const failed = new Promise((resolve) => server.once('error', resolve));
    await client.close();
    expect(await failed).toMatchObject({ message: 'cannot close' });
    await waiting.next('handshake');
  });
});

describe('origins', () => {
  const from = (origin: string, host?: string): ClientOptions => ({ origin, headers: host ? { host } : {} });

  it('are by default the own host, and programs without one', async () => {
    const server = await serve({ engine: loopbackEngine() });
    await Client.ready(server);
    await Client.ready(server, '', from(server.url));
    // TLS taken off by a proxy: the scheme differs, the host does not.
    await Client.ready(server, '', from('https://talk.example', 'talk.example'));
    await Client.ready(server, '', from('https://talk.example', 'talk.example:443'));
    for (const origin of [
      'https://evil.example',
      'null',
      'nonsense',
      `${server.url}.evil.example`,
      'http://127.0.0.1:1',
    ]) {
      await expect(Client.open(server, '', from(origin)), origin).rejects.toThrow('403');
    }
  });

  it('are named where they are refused, as the list wants them', async () => {
    const log: unknown[] = [];
    const logger = { ...console, info: () => {}, warn: (...line: unknown[]) => log.push(line) };
    const server = await serve({ engine: loopbackEngine(), logger });
    await expect(Client.open(server, '', from('http://localhost:5173'))).rejects.toThrow('403');
    expect(JSON.stringify(log)).toMatch(/Web pages of .*http:\/\/localhost:5173.* --origin/);
  });

  it('on the list are allowed besides', async () => {
    const server = await serve({
      engine: loopbackEngine(),
      origins: ['https://app.example/', 'capacitor://localhost'],
    });
    await Client.ready(server, '', from('https://app.example'));
    await Client.ready(server, '', from('capacitor://localhost'));
    await Client.ready(server, '', from(server.url));
    for (const origin of ['http://app.example', 'https://app.example:444', 'https://x.app.example']) {
      await expect(Client.open(server, '', from(origin)), origin).rejects.toThrow('403');
    }
  });

  it('may all be allowed', async () => {
    const server = await serve({ engine: loopbackEngine(), origins: '*' });
    await Client.ready(server, '', from('https://anybody.example'));
    await Client.ready(server, '', from('null'));
  });

  it('that are none are told at the start', async () => {
    await expect(serve({ engine: loopbackEngine(), origins: ['app.example'] })).rejects.toMatchObject({
      code: 'BAD_OPTION',
      message: 'origins holds "app.example": write it as https://app.example.com',
    });
  });
});

describe('keys', () => {
  it('open with a header or the query, and nothing else does', async () => {
    const server = await serve({ engine: loopbackEngine(), keys: ['first-key', 'söcond'] });
    await Client.ready(server, '', { headers: { authorization: 'Bearer first-key' } });
    await Client.ready(server, '?key=s%C3%B6cond');
    await Client.ready(server, '?key=first-key', { headers: { authorization: 'Basic eDp5' } });
    const wrong: [string, string | undefined][] = [
      ['', undefined],
      ['?key=', undefined],
      ['?key=first-key2', undefined],
      ['?key=First-Key', undefined],
      ['', 'Bearer wrong'],
      ['', 'first-key'],
    ];
    for (const [query, authorization] of wrong) {
      const opened = Client.open(server, query, { headers: authorization ? { authorization } : {} });
      await expect(opened, `${query} ${authorization}`).rejects.toThrow('401');
    }
  });

  it('that are missing are asked for in words', async () => {
    const server = await serve({ engine: loopbackEngine(), keys: ['k'] });
    const started = nextSession(server);
    const client = new Client(`${server.url.replace('http', 'ws')}/api/chat`);
    const [status, body, header] = await new Promise<[number, string, string]>((resolve) => {
      client.socket.on('unexpected-response', (_, response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on('end', () => resolve([response.statusCode!, text, response.headers['www-authenticate']!]));
      });
    });
    expect([status, header]).toEqual([401, 'Bearer']);
    expect(body).toContain('authorization: Bearer KEY');
    client.socket.terminate();
    await Client.ready(server, '?key=k');
    expect((await started).address).toBe('127.0.0.1');
  });

  it('that are empty are told at the start', async () => {
    await expect(serve({ engine: loopbackEngine(), keys: [''] })).rejects.toMatchObject({ code: 'BAD_OPTION' });
  });
});
