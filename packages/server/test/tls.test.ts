import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, loopbackEngine } from '@moshi/server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, oggOpus } from './support/client';
import { serve } from './support/fixture';
import { tone } from './support/signals';

function makeCertificate(folder: string): boolean {
  try {
    const args =
      'req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem';
    execFileSync('openssl', args.split(' '), { cwd: folder, stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const hasOpenssl = await (async () => {
  const folder = await mkdtemp(join(tmpdir(), 'moshi-tls-'));
  const made = makeCertificate(folder);
  await rm(folder, { recursive: true });
  return made;
})();

describe('TLS', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'moshi-tls-'));
    if (hasOpenssl) makeCertificate(folder);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.skipIf(!hasOpenssl)('serves wss from key.pem and cert.pem', async () => {
    const server = await serve({ engine: loopbackEngine(), tls: folder });
    expect(server.url).toMatch(/^https:/);
    const ca = await readFile(join(folder, 'cert.pem'));
    const client = await Client.ready(server, '', { ca });
    for (const page of await oggOpus(tone(3, 300))) client.audio(page);
    await client.count('audio', 3);
  });

  it.skipIf(!hasOpenssl)('serves wss from PEM texts', async () => {
    const [key, cert] = await Promise.all(['key', 'cert'].map((name) => readFile(join(folder, `${name}.pem`), 'utf8')));
    const server = await serve({ engine: loopbackEngine(), tls: { key: key!, cert: cert! } });
    await Client.ready(server, '', { rejectUnauthorized: false });
  });

  it('says which file is missing and how to make it', async () => {
    const empty = await mkdtemp(join(folder, 'empty-'));
    const error = await createServer({ engine: loopbackEngine(), port: 0, tls: empty }).catch(
      (thrown: Error) => thrown,
    );
    expect(error).toMatchObject({ code: 'TLS', message: expect.stringContaining(join(empty, 'key.pem')) });
    expect((error as Error).message).toMatch(/make it with openssl req -x509 .*key\.pem.*cert\.pem/);
    expect((error as Error).message).not.toContain('\n');
  });

  it('says that a file is no certificate and how to make a new one', async () => {
    const wrong = await mkdtemp(join(folder, 'wrong-'));
    await writeFile(join(wrong, 'key.pem'), 'not a key');
    await writeFile(join(wrong, 'cert.pem'), 'not a certificate');
    const error = await createServer({ engine: loopbackEngine(), port: 0, tls: wrong }).catch(
      (thrown: Error) => thrown,
    );
    expect(error).toMatchObject({
      code: 'TLS',
      message: expect.stringMatching(/cannot be used \(.+\): make a new pair with openssl/),
    });
    expect((error as Error).message).not.toContain('\n');
  });

  it.skipIf(!hasOpenssl)('says that key and certificate do not belong together', async () => {
    const other = await mkdtemp(join(folder, 'other-'));
    makeCertificate(other);
    const [key, cert] = [await readFile(join(other, 'key.pem')), await readFile(join(folder, 'cert.pem'))];
    await expect(createServer({ engine: loopbackEngine(), port: 0, tls: { key, cert } })).rejects.toMatchObject({
      code: 'TLS',
    });
  });
});
