import { Command, CommanderError } from 'commander';
import { addBench } from './commands/bench';
import { addChat } from './commands/chat';
import { addCodec } from './commands/codec';
import { addConverse } from './commands/converse';
import { addDoctor } from './commands/doctor';
import { addEvaluate } from './commands/evaluate';
import { addExpand } from './commands/expand';
import { addQuantize } from './commands/quantize';
import { addServe } from './commands/serve';
import { addVoice } from './commands/voice';
import { ExitCode, isAbort, oneLine, statusOf } from './exit';
import type { Host, Models } from './host';
import { version } from './version';

const EXIT_CODES = `
Exit codes:
  0    it worked (serve, chat: it was stopped)
  1    the work failed
  2    bad command, option or value
  3    something is wrong with the input file
  4    no connection to the server, or it refused
  5    the model is missing or cannot be loaded
  130  interrupted

MOSHI_DEBUG=1 shows the stack of an error.`;

/**
 * Runs the `moshi` command with the arguments after its name and resolves to the exit status, see {@link ExitCode}.
 * Never rejects: errors are one line on `host.stderr`. `host` replaces the process's own streams, signals and models.
 */
export async function run(argv: readonly string[], host: Partial<Host> = {}): Promise<number> {
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort();
  const signals = host.signal ? [] : (['SIGINT', 'SIGTERM'] as const);
  for (const name of signals) process.once(name, onSignal);
  const complete: Host = {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    signal: interrupt.signal,
    models: loadModels,
    debug: /^(1|true|yes|on)$/i.test(process.env.MOSHI_DEBUG ?? ''),
    ...host,
  };
  try {
    await program(complete).parseAsync([...argv], { from: 'user' });
    return ExitCode.ok;
  } catch (error) {
    return report(error, argv, complete);
  } finally {
    for (const name of signals) process.off(name, onSignal);
  }
}

function program(host: Host): Command {
  const command = new Command('moshi')
    .description(
      'Talk with full-duplex speech models: serve them, talk and play recordings to them, encode and decode sound.',
    )
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => host.stdout.write(text),
      writeErr: (text) => host.stderr.write(text),
      // Errors are written in one place, see report().
      outputError: () => {},
    })
    .addHelpText('after', EXIT_CODES)
    .addHelpText('after', '\nExample:\n  $ moshi serve');
  addServe(command, host);
  addChat(command, host);
  addConverse(command, host);
  addVoice(command, host);
  addCodec(command, host);
  addExpand(command, host);
  addQuantize(command, host);
  addDoctor(command, host);
  addBench(command, host);
  addEvaluate(command, host);
  return command;
}

function report(error: unknown, argv: readonly string[], host: Host): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return ExitCode.ok;
    // Without a command the help was shown, which says it all.
    if (error.code === 'commander.help') return ExitCode.usage;
    // Only voice has commands of its own.
    const depth = (argv[0] === 'voice' ? 2 : 1) - (error.code === 'commander.unknownCommand' ? 1 : 0);
    const known = argv.slice(0, depth).filter((word) => /^[a-z]+$/.test(word));
    const name = known.map((word) => ` ${word}`).join('');
    const message = oneLine(error).replace(/^error: /, '');
    host.stderr.write(`moshi: ${message}${/[.?!)]$/.test(message) ? '' : '.'} See: moshi${name} --help\n`);
    return ExitCode.usage;
  }
  const status = statusOf(error);
  host.stderr.write(isAbort(error) ? 'moshi: interrupted\n' : `moshi: ${oneLine(error)}\n`);
  if (host.debug && error instanceof Error) host.stderr.write(`${error.stack}\n${causes(error)}`);
  return status;
}

function causes(error: Error): string {
  let text = '';
  let cause = error.cause;
  for (let depth = 0; depth < 5 && cause instanceof Error; depth++, cause = cause.cause)
    text += `caused by ${cause.stack}\n`;
  return text;
}

async function loadModels(): Promise<Models> {
  return await import('@moshi/engine-cuda');
}
