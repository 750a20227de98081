import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loopbackEngine, type Server, version } from '@moshi/server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import packageJson from '../package.json';
import { plainPage } from '../src/http/plain-page';
import { contentType } from '../src/http/static-files';
import { Client } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { serve, until } from './support/fixture';

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** A request whose path goes out exactly as written (fetch would tidy it up). */
function ask(server: Server, path: string, options: { method?: string; headers?: Record<string, string> } = {}) {
  return new Promise<Answer>((resolve, reject) => {
    const { port } = server.address!;
    const sent = request({ host: '127.0.0.1', port, path, agent: false, ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode!, headers: response.headers, body });
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** Sends raw bytes and reads until the server closes. */
function raw(server: Server, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.address!.port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}

describe('own routes', () => {
  it('say that the process lives and how busy it is', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }), limits: { waiting: 0 } });
    expect(await ask(server, '/healthz')).toMatchObject({ status: 200, body: 'ok\n' });
    const free = await ask(server, '/readyz');
    expect(free.status).toBe(200);
    expect(JSON.parse(free.body)).toEqual({ ready: true, slots: 1, live: 0, waiting: 0 });
    const client = await Client.ready(server);
    const full = await ask(server, '/readyz?verbose');
    expect(full.status).toBe(503);
    expect(JSON.parse(full.body)).toEqual({ ready: false, slots: 1, live: 1, waiting: 0 });
    expect((await ask(server, '/healthz')).status).toBe(200);
    await client.close();
    await until(() => server.readiness.ready);
    expect((await ask(server, '/readyz')).status).toBe(200);
  });

  it('tell the version, which is the package’s', async () => {
    const server = await serve({ engine: loopbackEngine() });
    const { body } = await ask(server, '/api/build_info');
    expect(JSON.parse(body)).toMatchObject({
      ...{ server: 'moshi-js', version, model: 'loopback' },
      ...{ dialect: 'loopback', trained: true, slots: 4 },
    });
    expect(version).toBe(packageJson.version);
  });

  it('answer plain requests to the WebSocket, other methods and other paths in clear text', async () => {
    const server = await serve({ engine: loopbackEngine() });
    expect(await ask(server, '/api/chat')).toMatchObject({ status: 426, body: expect.stringContaining('ws://') });
    const post = await ask(server, '/', { method: 'POST' });
    expect(post).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
    expect(await ask(server, '/nothing')).toMatchObject({ status: 404, body: expect.stringContaining('/api/chat') });
  });

  it('take the absolute form of a proxy, and survive targets that are none', async () => {
    const server = await serve({ engine: loopbackEngine() });
    expect(await ask(server, 'http://example.com/healthz')).toMatchObject({ status: 200 });
    for (const target of ['//', '//evil.example/healthz', '/%', '/\\', '*', '?', '/?a=%ff%', 'http://[/']) {
      expect((await ask(server, target)).status).toBeGreaterThanOrEqual(200);
    }
  });

  it('treat an upgrade that nobody takes as a plain request', async () => {
    const server = await serve({ engine: loopbackEngine() });
    const h2c = 'Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n';
    expect(await raw(server, `GET /healthz HTTP/1.1\r\n${h2c}`)).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*ok\n$/);
    const lost = new Client(`${server.url.replace('http', 'ws')}/elsewhere`);
    expect(
      await new Promise((resolve) => lost.socket.on('unexpected-response', (_, { statusCode }) => resolve(statusCode))),
    ).toBe(404);
    lost.socket.terminate();
  });
});

describe('the plain page', () => {
  it('says what the server is and is safe to show', async () => {
    const server = await serve({ engine: new FakeEngine(), page: false });
    const { status, headers, body } = await ask(server, '/');
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(body).toContain('fake/&#60;model&#62;');
    expect(body).not.toContain('<model>');
    expect(body).toContain('untrained');
    expect(body).toContain('/api/chat');
  });

  it('says nothing of untrained weights when there are none or they are trained', () => {
    expect(plainPage(loopbackEngine().info)).not.toContain('untrained');
    expect(plainPage({ ...new FakeEngine().info, trained: true })).not.toContain('untrained');
  });
});

describe('static files', () => {
  let top: string;
  let staticDir: string;
  beforeAll(async () => {
    top = await mkdtemp(join(tmpdir(), 'moshi-static-'));
    staticDir = join(top, 'site');
    await mkdir(join(staticDir, 'sub', '.git'), { recursive: true });
    await mkdir(join(staticDir, 'empty'));
    await mkdir(join(top, 'site-secret'));
    await writeFile(join(top, 'secret.txt'), 'SECRET');
    await writeFile(join(top, 'site-secret', 'x.txt'), 'SECRET');
    await writeFile(join(staticDir, '.env'), 'SECRET');
    await writeFile(join(staticDir, 'sub', '.git', 'config'), 'SECRET');
    await writeFile(join(staticDir, 'index.html'), '<h1>page</h1>');
    await writeFile(join(staticDir, 'sub', 'index.html'), '<h1>sub</h1>');
    await writeFile(join(staticDir, 'app.js'), 'let a = 1;');
    await writeFile(join(staticDir, 'empty.txt'), '');
    await writeFile(join(staticDir, 'a b ü.txt'), 'words');
    await writeFile(join(staticDir, 'worklet.wasm'), Buffer.alloc(200_000, 7));
    await symlink(join(top, 'secret.txt'), join(staticDir, 'link.txt'));
    await symlink(join(top, 'site-secret'), join(staticDir, 'linked'));
    await symlink(join(staticDir, 'app.js'), join(staticDir, 'inside.js'));
  });
  afterAll(() => rm(top, { recursive: true, force: true }));

  it('are served with their type, length and tag', async () => {
    const server = await serve({ engine: loopbackEngine(), staticDir });
    expect(await ask(server, '/')).toMatchObject({
      status: 200,
      body: '<h1>page</h1>',
      headers: {
        'content-type': 'text/html; charset=utf-8',
        'content-length': '13',
        'x-content-type-options': 'nosniff',
      },
    });
    expect(await ask(server, '/app.js?v=2')).toMatchObject({
      body: 'let a = 1;',
      headers: { 'content-type': 'text/javascript; charset=utf-8' },
    });
    expect((await ask(server, '/worklet.wasm')).body).toHaveLength(200_000);
    expect(await ask(server, '/a%20b%20%C3%BC.txt')).toMatchObject({ status: 200, body: 'words' });
    expect(await ask(server, '/empty.txt')).toMatchObject({ status: 200, body: '' });
    expect(await ask(server, '/inside.js')).toMatchObject({ status: 200, body: 'let a = 1;' });
    expect(await ask(server, '/sub/')).toMatchObject({ status: 200, body: '<h1>sub</h1>' });
    expect(await ask(server, '/sub')).toMatchObject({ status: 301, headers: { location: '/sub/' } });
    expect(await ask(server, '/empty/')).toMatchObject({ status: 404 });
    expect(await ask(server, '/healthz')).toMatchObject({ status: 200, body: 'ok\n' });
  });

  it('answer HEAD without a body and 304 to a known tag', async () => {
    const server = await serve({ engine: loopbackEngine(), staticDir });
    const head = await ask(server, '/app.js', { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, body: '', headers: { 'content-length': '10' } });
    const etag = head.headers.etag as string;
    for (const tags of [etag, `"other", ${etag}`, etag.replace('W/', ''), '*']) {
      expect(await ask(server, '/app.js', { headers: { 'if-none-match': tags } })).toMatchObject({
        status: 304,
        body: '',
      });
    }
    expect(await ask(server, '/app.js', { headers: { 'if-none-match': '"other"' } })).toMatchObject({ status: 200 });
    await writeFile(join(staticDir, 'app.js'), 'let a = 22;');
    const changed = await ask(server, '/app.js', { headers: { 'if-none-match': etag } });
    expect(changed).toMatchObject({ status: 200, body: 'let a = 22;' });
    await writeFile(join(staticDir, 'app.js'), 'let a = 1;');
  });

  it.each([
    '/../secret.txt',
    '/../../../../../../etc/passwd',
    '/%2e%2e/secret.txt',
    '/%2E%2E%2Fsecret.txt',
    '/..%2fsecret.txt',
    '/sub/../../secret.txt',
    '/sub/%2e%2e/%2e%2e/secret.txt',
    '/..\\secret.txt',
    '/..%5csecret.txt',
    '/%252e%252e/secret.txt',
    '//secret.txt',
    '/sub//index.html',
    '/./app.js',
    '/../site-secret/x.txt',
    '/..%2fsite-secret/x.txt',
    '/link.txt',
    '/linked/x.txt',
    '/linked',
    '/linked/',
    '/.env',
    '/%2eenv',
    '/sub/.git/config',
    '/app.js%00.html',
    '/%00',
    '/app.js/',
    '/app.js/x',
    '/C:/Windows/win.ini',
    '/index.html::$DATA',
    '/%ff',
    '/%',
    '/%c0%ae%c0%ae/secret.txt',
    'http://x/../secret.txt',
    '/nothing.txt',
  ])('keep %s to themselves', async (path) => {
    const server = await serve({ engine: loopbackEngine(), staticDir });
    const answer = await ask(server, path);
    expect(answer.status).toBe(404);
    expect(answer.body).toBe('There is no such file here.\n');
  });

  it('do not start without a folder', async () => {
    await expect(serve({ engine: loopbackEngine(), staticDir: join(top, 'nowhere') })).rejects.toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('nowhere'),
    });
    await expect(serve({ engine: loopbackEngine(), staticDir: join(staticDir, 'app.js') })).rejects.toThrow(
      'not a folder',
    );
  });

  it('know their types', () => {
    expect(contentType('a.WASM')).toBe('application/wasm');
    expect(contentType('site.webmanifest')).toBe('application/manifest+json');
    expect(contentType('mystery')).toBe('application/octet-stream');
    expect(contentType('mystery.xyz')).toBe('application/octet-stream');
  });
});
