import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { loopbackEngine } from '@moshi/server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Access } from '../src/access';
import { openPage, type PageFiles } from '../src/http/page-files';
import { Routes } from '../src/http/routes';
import { serve } from './support/fixture';

interface Answer {
  status: number;
  headers: Record<string, string | undefined>;
  body: Buffer;
}

/** A request whose path goes out exactly as written. */
function ask(port: number, path: string, options: { method?: string; headers?: Record<string, string> } = {}) {
  return new Promise<Answer>((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, agent: false, ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const headers = response.headers as Record<string, string | undefined>;
        resolve({ status: response.statusCode!, headers, body: Buffer.concat(chunks) });
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

const script = `export const words = '${'moshi '.repeat(200)}';`;

describe('the built page', () => {
  let top: string;
  let folder: string;
  let port: number;
  const http = createHttpServer();

  beforeAll(async () => {
    top = await mkdtemp(join(tmpdir(), 'moshi-page-'));
    folder = join(top, 'page');
    await mkdir(join(folder, '_moshi'), { recursive: true });
    await writeFile(join(top, 'secret.txt'), 'SECRET');
    await writeFile(join(folder, 'secret.txt'), 'SECRET');
    await writeFile(join(folder, 'index.html'), '<!doctype html><h1>talk</h1>');
    await writeFile(join(folder, '_moshi', 'app-1234.js'), script);
    await writeFile(join(folder, '_moshi', 'tiny-1.css'), 'a{}');
    await writeFile(join(folder, '_moshi', 'icon-1.png'), Buffer.alloc(3000));
    const readiness = () => ({ ready: true, slots: 1, live: 0, waiting: 0 });
    const routes = new Routes(loopbackEngine(), new Access(), readiness, { page: await openPage(folder) });
    http.on('request', (asked, response) => routes.answer(asked, response));
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    port = (http.address() as { port: number }).port;
  });
  afterAll(async () => {
    http.close();
    await rm(top, { recursive: true, force: true });
  });

  it('is at / and at /test-voice, asked for anew each time and answered with 304 when it is the same', async () => {
    for (const path of ['/', '/test-voice', '/?worker_addr=x', '/test-voice?key=1']) {
      const { status, headers, body } = await ask(port, path);
      expect(status).toBe(200);
      expect(body.toString()).toBe('<!doctype html><h1>talk</h1>');
      expect(headers).toMatchObject({ 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-cache' });
      const same = await ask(port, path, { headers: { 'if-none-match': headers.etag! } });
      expect(same).toMatchObject({ status: 304, body: Buffer.alloc(0) });
      expect((await ask(port, path, { headers: { 'if-none-match': '"other"' } })).status).toBe(200);
    }
  });

  it('may load from its server alone, connect to any WebSocket, and ask for the microphone', async () => {
    const { headers } = await ask(port, '/');
    const policy = new Map(
      headers['content-security-policy']!.split('; ').map((part) => {
        const [directive = '', ...sources] = part.split(' ');
        return [directive, sources.join(' ')];
      }),
    );
    expect(Object.fromEntries(policy)).toEqual({
      'default-src': "'none'",
      'script-src': "'self' 'wasm-unsafe-eval'",
      'style-src': "'self'",
      'img-src': "'self' data:",
      'media-src': "'self' blob:",
      'connect-src': "'self' ws: wss:",
      'manifest-src': "'self'",
      'base-uri': "'none'",
      'form-action': "'none'",
      'frame-ancestors': "'none'",
    });
    expect(headers).toMatchObject({
      'permissions-policy': 'microphone=(self)',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    });
  });

  it('keeps what it loads for ever, as its names change with it', async () => {
    const { status, headers, body } = await ask(port, '/_moshi/app-1234.js');
    expect({ status, body: body.toString() }).toEqual({ status: 200, body: script });
    expect(headers).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=31536000, immutable',
      'x-content-type-options': 'nosniff',
    });
  });

  it('is compressed for those who take it, where it pays', async () => {
    const gzip = (accepted: string, path = '/_moshi/app-1234.js') =>
      ask(port, path, { headers: { 'accept-encoding': accepted } });
    for (const accepted of ['gzip', 'br, gzip;q=0.5', 'deflate , GZIP ;q=1.0']) {
      const { headers, body } = await gzip(accepted);
      expect(headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'accept-encoding' });
      expect(Number(headers['content-length'])).toBe(body.length);
      expect(gunzipSync(body).toString()).toBe(script);
    }
    for (const accepted of ['', 'br', 'gzip;q=0', 'gzip;q=0.0', 'x-gzip']) {
      expect((await gzip(accepted)).headers['content-encoding']).toBeUndefined();
    }
    for (const path of ['/_moshi/tiny-1.css', '/_moshi/icon-1.png']) {
      expect((await gzip('gzip', path)).headers['content-encoding']).toBeUndefined();
    }
  });

  it('answers HEAD with everything but the body', async () => {
    for (const path of ['/', '/_moshi/app-1234.js']) {
      const whole = await ask(port, path);
      const head = await ask(port, path, { method: 'HEAD' });
      expect(head.body.length).toBe(0);
      expect({ ...head.headers, date: '' }).toEqual({ ...whole.headers, date: '' });
    }
    expect(await ask(port, '/', { method: 'POST' })).toMatchObject({ status: 405 });
  });

  it('has nothing beside its own files', async () => {
    const paths = ['/index.html', '/secret.txt', '/_moshi', '/_moshi/', '/_moshi/gone.js', '/_moshi/../secret.txt'];
    paths.push('/_moshi/..%2fsecret.txt', '/_moshi/%2e%2e/%2e%2e/secret.txt', '/_moshi/..\\secret.txt', '/_moshi/\0');
    paths.push('/test-voice/', '/_moshi/app-1234.js/', '/_moshi//app-1234.js', '/_moshi/__proto__', '//secret.txt');
    for (const path of paths) {
      const { status, body } = await ask(port, encodeURI(decodeURI(path)).replaceAll('%25', '%'));
      expect([path, status]).toEqual([path, 404]);
      expect(body.toString()).not.toContain('SECRET');
    }
  });

  it('is none where nothing was built', async () => {
    expect(await openPage(join(top, 'nowhere'))).toBeUndefined();
    await mkdir(join(top, 'half'));
    await writeFile(join(top, 'half', 'index.html'), '');
    expect(await openPage(join(top, 'half'))).toBeUndefined();
  });
});

it('a page is told before anybody talks what the model is, and whether the machine keeps up with it', async () => {
  const engine = loopbackEngine();
  const slow = { ...engine, info: { ...engine.info, keepsUp: false }, open: engine.open.bind(engine) };
  const server = await serve({ engine: slow });
  const { body } = await ask(server.address!.port, '/api/build_info');
  expect(JSON.parse(body.toString())).toMatchObject({
    model: 'loopback',
    dialect: 'loopback',
    slots: 4,
    keepsUp: false,
  });
});

describe('what is at /', () => {
  const own: PageFiles = { owns: (path) => path === '/', answer: (_, response) => void response.end('built page') };
  const at = async (site: ConstructorParameters<typeof Routes>[3]) => {
    const readiness = () => ({ ready: true, slots: 1, live: 0, waiting: 0 });
    const routes = new Routes(loopbackEngine(), new Access(), readiness, site);
    const http = createHttpServer((asked, response) => routes.answer(asked, response));
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const answer = await ask((http.address() as { port: number }).port, '/');
    http.close();
    return answer;
  };

  it('is a folder of one’s own before the page, and the page before the note', async () => {
    const files = {
      serve: async (_: unknown, response: { end(text: string): unknown }) => void response.end('own folder'),
    };
    expect((await at({ files, page: own })).body.toString()).toBe('own folder');
    expect((await at({ page: own })).body.toString()).toBe('built page');
    expect((await at({})).body.toString()).toContain('A speech server');
  });

  it('is a note whose policy allows its own script and style, and no other', async () => {
    const { headers, body } = await at({});
    const policy = headers['content-security-policy']!;
    const text = body.toString();
    for (const tag of ['script', 'style']) {
      const [, within = ''] = new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(text)!;
      expect(policy).toContain(`${tag}-src 'sha256-${createHash('sha256').update(within).digest('base64')}'`);
    }
    expect(policy).toContain("default-src 'none'");
  });

  it('stays with an attached server, unless the page is asked for', async () => {
    const readiness = () => ({ ready: true, slots: 1, live: 0, waiting: 0 });
    const routes = (site: ConstructorParameters<typeof Routes>[3]) =>
      new Routes(loopbackEngine(), new Access(), readiness, site);
    expect(routes({}).owns('/')).toBe(false);
    expect(routes({ page: own }).owns('/')).toBe(true);

    const host = createHttpServer((_, response) => void response.end('mine'));
    await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
    const { port } = host.address() as { port: number };
    const body = async (path: string) => (await ask(port, path)).body.toString();
    await serve({ engine: loopbackEngine(), server: host });
    expect(await body('/')).toBe('mine');
    expect(await body('/_moshi/x.js')).toBe('mine');
    host.close();
  });
});
