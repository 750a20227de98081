import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request the fake hub saw. */
export interface SeenRequest {
  /** `hub`, or `storage` for the second host that large files are redirected to. */
  readonly host: 'hub' | 'storage';
  readonly method: string;
  readonly url: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export interface FakeFile {
  content: Buffer;
  /** Large files: sha256 as etag and a redirect to the storage host. */
  lfs: boolean;
  /** Announced in place of the truth. */
  announcedSize?: number;
  announcedSha256?: string;
}

export interface FakeRepository {
  commit: string;
  files: Map<string, FakeFile>;
  gated?: boolean;
}

/** What the next body transfers do: each entry is used up by one GET of a body. */
export type Mishap =
  | { cutAfter: number }
  | { endEarly: number }
  | { flipByte: number }
  | { status: number }
  | { ignoreRange: true };

/** A Hugging Face hub on 127.0.0.1 with its storage host, as far as downloads go. */
export class FakeHub {
  readonly repositories = new Map<string, FakeRepository>();
  readonly requests: SeenRequest[] = [];
  readonly mishaps: Mishap[] = [];
  /** When set, bodies wait for it before their last byte. */
  hold: Promise<void> | undefined;
  readonly #hub: Server;
  readonly #storage: Server;

  private constructor() {
    this.#hub = createServer((request, response) => this.#resolve(request, response));
    this.#storage = createServer((request, response) => {
      this.#see('storage', request);
      const [, , owner, name, ...path] = (request.url ?? '').split('/').map(decodeURIComponent);
      const file = this.repositories.get(`${owner}/${name}`)?.files.get(path.join('/'));
      void this.#send(request, response, file?.content ?? Buffer.alloc(0));
    });
  }

  static async start(): Promise<FakeHub> {
    const fake = new FakeHub();
    for (const server of [fake.#hub, fake.#storage]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
    return fake;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#hub.address() as AddressInfo).port}`;
  }

  /** Adds a repository whose large files are those with `.safetensors` names. */
  add(name: string, files: Record<string, Buffer | string | object>, gated = false): FakeRepository {
    const repository: FakeRepository = { commit: randomBytes(20).toString('hex'), files: new Map(), gated };
    for (const [path, value] of Object.entries(files)) {
      const content =
        typeof value === 'string'
          ? Buffer.from(value)
          : Buffer.isBuffer(value)
            ? value
            : Buffer.from(JSON.stringify(value));
      repository.files.set(path, { content, lfs: path.endsWith('.safetensors') });
    }
    this.repositories.set(name, repository);
    return repository;
  }

  /** The body requests (GET) for a file so far. */
  gets(file: string): SeenRequest[] {
    return this.requests.filter(({ method, url }) => method === 'GET' && url.endsWith(`/${file}`));
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  #see(host: SeenRequest['host'], { method = '', url = '', headers }: IncomingMessage): void {
    this.requests.push({ host, method, url, range: headers.range, authorization: headers.authorization });
  }

  #resolve(request: IncomingMessage, response: ServerResponse): void {
    this.#see('hub', request);
    const [, owner, name, , revision, ...rest] = (request.url ?? '').split('/').map(decodeURIComponent);
    const refuse = (status: number, code: string) => response.writeHead(status, { 'x-error-code': code }).end();
    const repository = this.repositories.get(`${owner}/${name}`);
    if (!repository) return void refuse(request.headers.authorization ? 404 : 401, 'RepoNotFound');
    if (repository.gated && request.headers.authorization !== 'Bearer good') {
      return void refuse(request.headers.authorization ? 403 : 401, 'GatedRepo');
    }
    if (revision !== 'main' && revision !== repository.commit) return void refuse(404, 'RevisionNotFound');
    response.setHeader('x-repo-commit', repository.commit);
    const file = repository.files.get(rest.join('/'));
    if (!file) return void refuse(404, 'EntryNotFound');
    const { content } = file;
    if (!file.lfs) {
      response.setHeader(
        'etag',
        `"${createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')}"`,
      );
      return void this.#send(request, response, content, file.announcedSize);
    }
    const { port } = this.#storage.address() as AddressInfo;
    response.writeHead(302, {
      'x-linked-etag': `"${file.announcedSha256 ?? createHash('sha256').update(content).digest('hex')}"`,
      'x-linked-size': String(file.announcedSize ?? content.length),
      location: `http://127.0.0.1:${port}/store/${owner}/${name}/${rest.map(encodeURIComponent).join('/')}`,
    });
    response.end();
  }

  async #send(request: IncomingMessage, response: ServerResponse, content: Buffer, announced?: number): Promise<void> {
    if (request.method === 'HEAD') {
      response.writeHead(200, { 'content-length': announced ?? content.length }).end();
      return;
    }
    const mishap = this.mishaps.shift();
    if (mishap && 'status' in mishap) return void response.writeHead(mishap.status).end();
    const wanted = mishap && 'ignoreRange' in mishap ? null : /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const from = wanted ? Number(wanted[1]) : 0;
    if (from >= content.length && wanted) return void response.writeHead(416).end();
    const body = Buffer.from(content.subarray(from));
    if (mishap && 'flipByte' in mishap) body[mishap.flipByte - from]! ^= 0xff;
    const head: Record<string, string | number> =
      mishap && 'endEarly' in mishap ? {} : { 'content-length': body.length };
    if (wanted) head['content-range'] = `bytes ${from}-${content.length - 1}/${content.length}`;
    response.writeHead(wanted ? 206 : 200, head);
    if (mishap && 'cutAfter' in mishap) {
      response.write(body.subarray(0, mishap.cutAfter), () => response.destroy());
      return;
    }
    if (mishap && 'endEarly' in mishap) {
      // A body of no announced length: only who knows the size can tell that it is short.
      response.end(body.subarray(0, mishap.endEarly));
      return;
    }
    if (this.hold) {
      response.write(body.subarray(0, -1));
      await this.hold;
      response.end(body.subarray(-1));
      return;
    }
    response.end(body);
  }
}
