import { createServer, type Logger, loopbackEngine, type Server, type ServerOptions } from '@moshi/server';
import { type Command, Option } from 'commander';
import { CliError, ExitCode, oneLine } from '../exit';
import type { Host } from '../host';
import { loadEngine } from '../loading';
import { addModelOptions, MODEL_FLAGS, MODEL_HELP, type ModelFlags, modelFlags, whole } from './options';

interface ServeFlags extends ModelFlags {
  model?: string;
  engine: 'native' | 'loopback';
  port: number;
  host: string;
  slots?: number;
  threads?: number;
  static?: string;
  page: boolean;
  ssl?: string;
  key?: string[];
  origin?: string[];
  quiet?: boolean;
}

/** Adds `moshi serve`. */
export function addServe(program: Command, host: Host): void {
  const command = program
    .command('serve')
    .summary('serve a model to browsers and programs')
    .description(
      'Serves a model on the protocol of the Moshi and PersonaPlex servers, and a web page to talk with it. Ctrl+C stops it.',
    )
    .option('--model <model>', MODEL_HELP)
    .addOption(
      new Option('--engine <engine>', 'loopback: no model, an echo that tests microphone, speaker and network')
        .choices(['native', 'loopback'])
        .default('native'),
    );
  addModelOptions(command)
    .option('--port <n>', 'TCP port; 0 takes any free one', whole(0, 65_535), 8998)
    .option('--host <address>', 'address to listen on; 0.0.0.0 for the whole network', '127.0.0.1')
    .option(
      '--slots <n>',
      'conversations at the same time (default: as many as the GPUs hold, 1 on the CPU)',
      whole(1, 256),
    )
    .option('--threads <n>', 'threads of the model', whole(1, 256))
    .option('--static <dir>', 'folder of a web page to serve in place of the built-in one')
    .option('--no-page', 'no web page at /')
    .option('--ssl <dir>', 'folder with key.pem and cert.pem: serves https and wss')
    .option('--key <keys...>', 'keys that open the server; clients send one as a bearer token or ?key=')
    .option(
      '--origin <origins...>',
      "web pages that may connect besides the server's own, such as https://app.example.com",
    )
    .option('--quiet', 'no log lines')
    .addHelpText('after', '\nExample:\n  $ moshi serve --model kyutai/moshiko-pytorch-bf16 --port 8998')
    .action((flags: ServeFlags) => serve(host, flags));
}

async function serve(host: Host, flags: ServeFlags): Promise<void> {
  const { model, slots, threads } = flags;
  const own = modelFlags(flags);
  if (flags.engine === 'loopback' && (model !== undefined || Object.keys(own).length > 0)) {
    throw new CliError(ExitCode.usage, `--engine loopback has no model: leave out --model, ${MODEL_FLAGS}`);
  }
  const engine =
    flags.engine === 'loopback' ? loopbackEngine({ slots }) : await loadEngine(host, { model, slots, threads, ...own });
  try {
    const server = await listen({
      engine,
      port: flags.port,
      host: flags.host,
      logger: flags.quiet ? undefined : stderrLogger(host),
      ...(flags.static !== undefined && { staticDir: flags.static }),
      ...(!flags.page && { page: false }),
      ...(flags.ssl !== undefined && { tls: flags.ssl }),
      ...(flags.key !== undefined && { keys: flags.key }),
      ...(flags.origin !== undefined && { origins: flags.origin }),
    });
    server.on('error', (error) => host.stderr.write(`moshi: ${oneLine(error)}\n`));
    const { info } = engine;
    for (const note of info.notes ?? []) host.stderr.write(`moshi: ${note}\n`);
    const { device } = info.details;
    const where = typeof device === 'string' && device.startsWith('cuda') ? ` on ${device}` : '';
    const note = info.trained ? '' : ' It is untrained and babbles: give --model for one that speaks.';
    host.stdout.write(`${server.url}  model ${info.model}${where}, ${info.slots} at a time.${note} Ctrl+C stops it.\n`);
    await aborted(host.signal);
    await server.close();
  } finally {
    await engine.close();
  }
}

async function listen(options: ServerOptions): Promise<Server> {
  try {
    return await createServer(options);
  } catch (error) {
    const { code } = error as { code?: unknown };
    const status = code === 'BAD_OPTION' || code === 'TLS' ? ExitCode.usage : ExitCode.failed;
    throw new CliError(status, oneLine(error), { cause: error });
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function stderrLogger(host: Host): Logger {
  const line =
    (level: string) =>
    (message: string, fields: Record<string, unknown> = {}) => {
      const values = Object.entries(fields).map(([name, value]) => {
        const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined');
        // Quoted unless plain: a client's words (a close reason) must not look like fields of ours, nor steer a terminal.
        return ` ${name}=${/^[\w.:/@+[\]-]*$/.test(text) ? text : JSON.stringify(text)}`;
      });
      host.stderr.write(`${new Date().toISOString()} ${level} ${message}${values.join('')}\n`);
    };
  return { debug: () => {}, info: line('info'), warn: line('warn'), error: line('error') };
}
