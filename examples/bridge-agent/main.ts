// A voice for any chat model: what the user types or says goes to an OpenAI-compatible server, and Moshi speaks the answer.
//
//   npx tsx examples/bridge-agent/main.ts                 then open http://localhost:8999/test-voice
//   TEXT_ONLY=1 npx tsx examples/bridge-agent/main.ts     the same without Moshi: answers come as text
//
// Clients connect to ws://…:8999/api/chat as to Moshi itself, so those that talk with Moshi or PersonaPlex work unmodified.
// Settings: .env.example, copied to .env beside it.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { fileURLToPath } from 'node:url';
import { remoteEngine } from '@moshi/client';
import { createServer, type Engine } from '@moshi/server';
import { missing, openAiFromEnv } from '../common/openai.ts';
import { Agent, type StageState } from './agent.ts';
import { textEngine } from './text-engine.ts';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
if (existsSync(here('.env'))) process.loadEnvFile(here('.env'));

const { env } = process;
const textOnly = env.TEXT_ONLY === '1';
const moshiAddress = env.MOSHI_URL || `${env.MOSHI_HOST || 'localhost'}:${env.MOSHI_PORT || 8998}`;
const moshiUrl = moshiAddress.includes('://') ? moshiAddress : `ws://${moshiAddress}`;
const openai = openAiFromEnv();
const systemPrompt =
  env.SYSTEM_PROMPT ||
  'You are heard, not read: answer in one to three short spoken sentences, without lists or markup.';

/** Moshi on its own machine. Whatever a client asks for wins over our defaults. */
function moshi(): Engine {
  const remote = remoteEngine(moshiUrl, {
    slots: Number(env.SLOTS || 1),
    insecure: env.MOSHI_INSECURE === '1',
    // For servers that speak text they are sent but do not say so; stock ones just ignore it.
    forceSay: env.FORCE_SAY === '1',
  });
  // With ears of its own the agent does all the talking; without them Moshi itself answers what is said aloud.
  const sayOnly = (env.SAY_ONLY || (openai.transcribeModel ? '1' : '0')) === '1';
  const defaults = { voice: env.VOICE || undefined, prompt: env.PROMPT || undefined, sayOnly };
  return {
    info: remote.info,
    open: (options) => remote.open({ ...defaults, ...options }),
    close: () => remote.close(),
    voices: () => remote.voices(),
  };
}

const http = createHttpServer((request, response) => {
  const path = request.url?.split('?')[0];
  const send = (type: string, body: string | Uint8Array) => response.writeHead(200, { 'content-type': type }).end(body);
  const failed = (error: Error) => response.writeHead(500).end(`${error.message}\n`);
  // The page and its status show where Moshi and the chat server are.
  if (env.TEST_PAGE === '0') response.writeHead(404).end('The conversation is at /api/chat.\n');
  else if (path === '/') response.writeHead(302, { location: '/test-voice' }).end();
  else if (path === '/test-voice')
    readFile(here('page.html')).then((page) => send('text/html; charset=utf-8', page), failed);
  else if (path === '/moshi-client.js')
    clientBundle().then((code) => send('text/javascript; charset=utf-8', code), failed);
  else if (path === '/status') status().then((all) => send('application/json', JSON.stringify(all)), failed);
  else
    response.writeHead(404).end('There is nothing here: the page is at /test-voice, the conversation at /api/chat.\n');
});

/** What can be known without a conversation, for the page. */
async function status(): Promise<Record<string, { state: StageState; message: string }>> {
  const lack = missing(openai);
  const { hostname, port, protocol } = new URL(moshiUrl);
  const up = textOnly || (await reachable(hostname, Number(port || (/s:$/.test(protocol) ? 443 : 80))));
  const down = `Nobody answers at ${moshiUrl}: start Moshi there (npx moshi serve), or set MOSHI_HOST.`;
  return {
    moshi: up
      ? { state: 'ok', message: textOnly ? 'not needed: text only' : moshiUrl }
      : { state: 'error', message: down },
    agent: lack
      ? { state: 'error', message: lack }
      : { state: 'ok', message: `${openai.chatModel} at ${openai.baseUrl}` },
    hearing: openai.transcribeModel
      ? { state: 'ok', message: openai.transcribeModel }
      : {
          state: 'ok',
          message: textOnly ? 'off: type, or set TRANSCRIBE_MODEL' : 'Moshi itself: set TRANSCRIBE_MODEL for the agent',
        },
  };
}

function reachable(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host, port, timeout: 2000 });
    const end = (up: boolean) => {
      socket.destroy();
      resolve(up);
    };
    socket
      .once('connect', () => end(true))
      .once('timeout', () => end(false))
      .once('error', () => end(false));
  });
}

let bundled: Promise<string | Uint8Array> | undefined;

/** The SDK for the page, as one ES module. The container has it built; here it is bundled when first asked for. */
function clientBundle(): Promise<string | Uint8Array> {
  bundled ??= existsSync(here('moshi-client.js'))
    ? readFile(here('moshi-client.js'))
    : import('./bundle-client.ts').then(({ bundleClient }) => bundleClient());
  return bundled;
}

const server = await createServer({
  engine: textOnly ? textEngine() : moshi(),
  server: http,
  logger: { debug() {}, info() {}, warn: (line) => console.warn(line), error: (line) => console.error(line) },
  // People who only type send no audio for a long time.
  limits: { idleMs: 0 },
});
server.on('session', (session) => {
  new Agent(session, { openai, systemPrompt, bargeIn: env.BARGE_IN !== '0' });
});
http.listen(Number(env.PORT || 8999), env.HOST || '127.0.0.1', () => {
  console.log(`listening on ${server.url}: open ${server.url}/test-voice`);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await server.close();
    process.exit(0);
  });
}
