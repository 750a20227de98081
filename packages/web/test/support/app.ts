import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Engine, type Server } from '@moshi/server';
import { openPage } from '../../../server/src/http/page-files';
import { splitTarget } from '../../../server/src/http/routes';
import { buildPage } from '../../build.mjs';

/** A real server with the page as it is in the sources, over the client as it was last built. */
export interface App {
  readonly url: string;
  readonly server: Server;
  close(): Promise<void>;
}

/** Builds the page once for any number of apps. */
export async function builtPage(): Promise<{ readonly folder: string; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'moshi-page-'));
  await buildPage({ out: folder });
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

export async function openApp(folder: string, engine: Engine): Promise<App> {
  const page = (await openPage(folder))!;
  const http = createHttpServer((request, response) => {
    const { path } = splitTarget(request.url);
    if (page.owns(path)) page.answer(request, response, path);
    else response.writeHead(404).end();
  });
  const server = await createServer({ engine, server: http });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    server,
    close: async () => {
      await server.close({ graceMs: 100 });
      http.closeAllConnections();
      http.close();
    },
  };
}
