import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { listVoices, type MoshiError, publishedVoices } from '../src/index';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function listening(server: Server): Promise<string> {
  servers.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const serve = (listener: RequestListener) => listening(createHttpServer(listener));

const answering = (body: string, status = 200, type = 'application/json') =>
  serve((_, response) => response.writeHead(status, { 'content-type': type }).end(body));

const failure = (promise: Promise<unknown>): Promise<MoshiError> =>
  promise.then(
    () => expect.fail('it was no failure'),
    (error) => error,
  );

describe('listVoices', () => {
  it('asks next to the path of the conversation, with headers and query, and sorts', async () => {
    const asked: unknown[] = [];
    const host = await serve((request, response) => {
      asked.push([request.url, request.headers.authorization]);
      response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' });
      response.end(JSON.stringify({ voices: [{ name: 'zoë', more: 1 }, { name: 'NATF0' }] }));
    });
    const voices = [{ name: 'NATF0' }, { name: 'zoë' }];
    expect(await listVoices(host)).toEqual(voices);
    const headers = { authorization: 'Bearer k' };
    expect(await listVoices(`ws://${host}/behind/proxy/api/chat?key=secret`, { headers })).toEqual(voices);
    expect(await listVoices(new URL(`http://me:p%40ss@${host}`))).toEqual(voices);
    expect(asked).toEqual([
      ['/api/voices', undefined],
      ['/behind/proxy/api/voices?key=secret', 'Bearer k'],
      ['/api/voices', `Basic ${btoa('me:p@ss')}`],
    ]);
  });

  it.each([
    ['404', 404, 'text/plain'],
    ['its web page', 200, 'text/html; charset=utf-8'],
  ])('of a stock server that answers with %s is empty, or PersonaPlex’s own', async (_, status, type) => {
    const host = await answering('<html>', status, type);
    expect(await listVoices(host)).toEqual([]);
    const published = await listVoices(host, { dialect: 'personaplex' });
    expect(published.map(({ name }) => name)).toEqual(publishedVoices);
    expect(published).toHaveLength(18);
    expect(publishedVoices).toEqual([...publishedVoices].sort());
  });

  it('of a PersonaPlex server with the route is the server’s', async () => {
    const host = await answering('{"voices":[]}');
    expect(await listVoices(host, { dialect: 'personaplex' })).toEqual([]);
  });

  it.each([
    '{',
    'null',
    '{}',
    '{"voices":{}}',
    '{"voices":[null]}',
    '{"voices":[{"name":5}]}',
    '{"voices":[{"name":""}]}',
  ])('refuses %s', async (body) => {
    expect(await failure(listVoices(await answering(body)))).toMatchObject({ code: 'malformed' });
  });

  it('reads no answer without end', async () => {
    const host = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const more = () => {
        while (response.write('x'.repeat(65_536)));
      };
      response.on('drain', more);
      more();
    });
    expect(await failure(listVoices(host))).toMatchObject({
      code: 'malformed',
      message: expect.stringContaining('1 MiB'),
    });
  });

  it('tells refusals and failures', async () => {
    expect(await failure(listVoices(await answering('no', 401)))).toMatchObject({
      code: 'refused',
      retryable: false,
      message: expect.stringMatching(/401.*key/),
    });
    expect(await failure(listVoices(await answering('no', 503)))).toMatchObject({ code: 'refused', retryable: true });
    expect(await failure(listVoices('ws://127.0.0.1:1'))).toMatchObject({
      code: 'unreachable',
      retryable: true,
    });
    const dialect = 'other' as never;
    expect(await failure(listVoices('localhost', { dialect }))).toMatchObject({ code: 'bad-option' });
    expect(await failure(listVoices('localhost', { timeoutMs: -1 }))).toMatchObject({ code: 'bad-option' });
    expect(await failure(listVoices('ftp://localhost'))).toMatchObject({ code: 'bad-option' });
  });

  it('gives up in time, and when it is told to', async () => {
    const host = await serve(() => {});
    expect(await failure(listVoices(host, { timeoutMs: 30 }))).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('30 ms'),
    });
    const controller = new AbortController();
    const asked = failure(listVoices(host, { signal: controller.signal }));
    controller.abort(new Error('enough'));
    expect(await asked).toMatchObject({ code: 'aborted', cause: { message: 'enough' } });
    expect(await failure(listVoices(host, { signal: AbortSignal.abort() }))).toMatchObject({ code: 'aborted' });
  });

  it('trusts a self-signed certificate only when told to', async () => {
    const file = (name: string) => readFileSync(new URL(`./fixtures/tls/${name}`, import.meta.url));
    const tls = { key: file('key.pem'), cert: file('cert.pem') };
    const host = await listening(
      createHttpsServer(tls, ({ headers }, response) => {
        const status = headers.authorization === 'Bearer k' ? 200 : 204;
        response.writeHead(status, { 'content-type': 'application/json' }).end('{"voices":[{"name":"ada"}]}');
      }),
    );
    expect(await failure(listVoices(`wss://${host}`))).toMatchObject({ code: 'unreachable' });
    const headers = { authorization: 'Bearer k' };
    expect(await listVoices(`wss://${host}`, { insecure: true, headers })).toEqual([{ name: 'ada' }]);
    expect(await failure(listVoices(`wss://${host}`, { insecure: true }))).toMatchObject({ code: 'refused' });
    expect(await failure(listVoices('wss://127.0.0.1:1', { insecure: true }))).toMatchObject({ code: 'unreachable' });
  });
});
