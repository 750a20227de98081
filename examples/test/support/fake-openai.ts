import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a test wants to know about a chat request. */
export interface ChatRequest {
  readonly model: string;
  readonly stream: boolean;
  readonly messages: { role: string; content: string }[];
}

/** An OpenAI-compatible server that answers from a script. */
export interface FakeOpenAi {
  /** For OPENAI_BASE_URL. */
  readonly baseUrl: string;
  /** The only key it takes. */
  readonly key: string;
  readonly chats: ChatRequest[];
  /** The WAV files it was sent, and the model they were for. */
  readonly recordings: { model: string; wav: Uint8Array }[];
  close(): Promise<void>;
}

/** Starts one; `reply` gives the pieces of an answer, and a piece may take its time. */
export async function fakeOpenAi(
  reply: (chat: ChatRequest) => Iterable<string> | AsyncIterable<string>,
  heard = 'what time is it',
): Promise<FakeOpenAi> {
  const key = 'test-key';
  const chats: ChatRequest[] = [];
  const recordings: { model: string; wav: Uint8Array }[] = [];
  const server = createServer(async (request, response) => {
    if (request.headers.authorization !== `Bearer ${key}`) {
      response.writeHead(401, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { message: 'Incorrect API key provided.' } }));
      return;
    }
    if (request.url === '/v1/audio/transcriptions') {
      const form = await new Response(await body(request), { headers: request.headers as HeadersInit }).formData();
      const file = form.get('file') as File;
      recordings.push({ model: String(form.get('model')), wav: new Uint8Array(await file.arrayBuffer()) });
      response.end(JSON.stringify({ text: heard }));
      return;
    }
    if (request.url !== '/v1/chat/completions') {
      response.writeHead(404).end('no such route');
      return;
    }
    const chat: ChatRequest = JSON.parse((await body(request)).toString());
    chats.push(chat);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for await (const content of reply(chat)) {
      if (response.destroyed) return;
      response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`);
    }
    response.end('data: [DONE]\n\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { baseUrl: `http://127.0.0.1:${port}/v1`, key, chats, recordings, close };
}

async function body(request: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}
