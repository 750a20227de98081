import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { errorMessage, ServerError } from './errors';
import type { TlsFiles } from './options';

/** Reads key.pem and cert.pem from a folder, or takes both as they are, and checks that they belong together. Throws `TLS`. */
export async function loadTls(tls: TlsFiles | string): Promise<TlsFiles> {
  const files = typeof tls === 'string' ? await readFolder(tls) : tls;
  const where = typeof tls === 'string' ? ` in ${tls}` : '';
  const cure = typeof tls === 'string' ? `: make a new pair with ${opensslLine(tls)}` : '';
  try {
    createSecureContext({ key: files.key, cert: files.cert });
  } catch (error) {
    const why = errorMessage(error);
    throw new ServerError('TLS', `TLS key and certificate${where} cannot be used (${why})${cure}`, { cause: error });
  }
  return files;
}

async function readFolder(folder: string): Promise<TlsFiles> {
  const read = async (name: string) => {
    const path = join(folder, name);
    try {
      return await readFile(path);
    } catch (error) {
      throw new ServerError('TLS', `TLS needs ${path}: make it with ${opensslLine(folder)}`, { cause: error });
    }
  };
  return { key: await read('key.pem'), cert: await read('cert.pem') };
}

function opensslLine(folder: string): string {
  const files = `-keyout '${join(folder, 'key.pem')}' -out '${join(folder, 'cert.pem')}'`;
  const names = '-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1';
  return `openssl req -x509 -newkey rsa:2048 -nodes -days 365 ${names} ${files}`;
}
