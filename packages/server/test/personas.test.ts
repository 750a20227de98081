import { createServer as createHttpServer } from 'node:http';
import { describe, expect, it } from 'vitest';
import { Client } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { serve } from './support/fixture';

const voices = ['NATF0', 'NATF1', 'me'];

describe('voices and prompts', () => {
  it('are given to the engine, each caller its own', async () => {
    const engine = new FakeEngine({ voices, slots: 2 });
    const server = await serve({ engine });
    const [one, two] = await Promise.all([
      Client.ready(server, '?voice_prompt=NATF0.pt&text_prompt=You+are+a+teacher.&seed=7'),
      Client.ready(server, '?voice_prompt=me&text_prompt=Vous+%C3%AAtes+vendeur.&audio_temperature=0.5&say_only=1'),
    ]);
    expect(engine.asked.sort((a, b) => (a.seed ?? 0) - (b.seed ?? 0))).toEqual([
      { voice: 'me', prompt: 'Vous êtes vendeur.', audioTemperature: 0.5, sayOnly: true },
      { voice: 'NATF0.pt', prompt: 'You are a teacher.', seed: 7 },
    ]);
    expect([one.of('error'), two.of('error')]).toEqual([[], []]);
  });

  it('may be absent, empty or blank', async () => {
    const engine = new FakeEngine({ voices, slots: 3 });
    const server = await serve({ engine });
    for (const query of ['', '?voice_prompt=&text_prompt=', '?voice_prompt=&text_prompt=+&seed=-1']) {
      await Client.ready(server, query);
    }
    expect(engine.asked).toEqual([{}, {}, {}]);
  });

  it('that are no voice end with the list of those there are, and a code', async () => {
    const server = await serve({ engine: new FakeEngine({ voices }) });
    for (const voice of ['NATF9.pt', '../secret.pt', '/etc/passwd', '..%2f..%2fx', 'a%00b', '..', 'C:%5cx']) {
      const client = await Client.open(server, `?voice_prompt=${voice}&text_prompt=+`);
      expect((await client.next('error')).message).toMatch(/NATF0, NATF1, me/);
      expect((await client.closed).code).toBe(1008);
    }
    await Client.ready(server);
  });

  it('of 100 000 characters are refused in words, in any script', async () => {
    const server = await serve({ engine: new FakeEngine({ voices }) });
    for (const letter of ['a', ' x', '語']) {
      const query = new URLSearchParams({ text_prompt: letter.repeat(100_000 / letter.length) });
      const client = await Client.open(server, `?${query}`);
      expect((await client.next('error')).message).toMatch(
        /^text_prompt has \d+ characters; at most 20000 are allowed/,
      );
      expect((await client.closed).code).toBe(1008);
    }
  });

  it('are listed for those who may talk with them', async () => {
    const server = await serve({
      engine: new FakeEngine({ voices }),
      keys: ['secret'],
      origins: ['https://app.example.com'],
    });
    const ask = (path: string, headers: Record<string, string> = {}) => fetch(`${server.url}${path}`, { headers });
    expect((await ask('/api/voices')).status).toBe(401);
    expect((await ask('/api/voices?key=secret', { origin: 'https://evil.example.com' })).status).toBe(403);
    const good = await ask('/api/voices?key=secret', { origin: 'https://app.example.com' });
    expect(good.status).toBe(200);
    expect(good.headers.get('access-control-allow-origin')).toBe('https://app.example.com');
    expect(await good.json()).toEqual({ voices: voices.map((name) => ({ name })) });
    // What a browser asks before it sends a key in a header.
    const preflight = (origin: string) =>
      fetch(`${server.url}/api/voices`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-headers': 'authorization' },
      });
    const asked = await preflight('https://app.example.com');
    expect([asked.status, asked.headers.get('access-control-allow-headers')]).toEqual([204, 'authorization']);
    expect((await preflight('https://evil.example.com')).status).toBe(403);
  });

  it('are none for an engine without them, and a failure is told', async () => {
    const none = await serve({ engine: new FakeEngine() });
    expect(await (await fetch(`${none.url}/api/voices`)).json()).toEqual({ voices: [] });
    const engine = Object.assign(new FakeEngine({ voices }), {
      voices: async () => {
        throw new Error('the folder is gone');
      },
    });
    const broken = await fetch(`${(await serve({ engine })).url}/api/voices`);
    expect([broken.status, await broken.text()]).toEqual([500, 'The voices cannot be listed: the folder is gone\n']);
  });

  it('are the route of an attached server too', async () => {
    const http = createHttpServer((_, response) => response.end('mine'));
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const server = await serve({ engine: new FakeEngine({ voices }), server: http });
    expect(await (await fetch(`${server.url}/api/voices`)).json()).toMatchObject({
      voices: [{ name: 'NATF0' }, {}, {}],
    });
    expect(await (await fetch(`${server.url}/other`)).text()).toBe('mine');
    http.closeAllConnections();
    http.close();
  });
});
