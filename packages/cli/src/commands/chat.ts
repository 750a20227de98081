import type { Command } from 'commander';
import { holdCall } from '../chat/call';
import { PlainView } from '../chat/plain-view';
import { describeDevices, findDevice, openSound } from '../chat/sound';
import { TerminalView } from '../chat/terminal-view';
import { CliError, ExitCode } from '../exit';
import type { Host } from '../host';
import { SystemSound } from '../sound/system-sound';
import { SOUND_SYSTEMS } from '../sound/tools';
import { addPersonaOptions, addServerOptions, type TalkFlags, talkOptions, within } from './options';

interface ChatFlags extends TalkFlags {
  in?: string;
  out?: string;
  tail: number;
  input?: string;
  output?: string;
  microphone: boolean;
  captions: boolean;
  halfDuplex?: boolean;
  listDevices?: boolean;
}

/** Where `moshi serve` listens. */
const DEFAULT_URL = 'ws://localhost:8998';

const HEADPHONES = 'use headphones: the microphone hears what the loudspeaker plays (else --half-duplex)';

const MORE_HELP = `
Keys:
  m                 mute: the model hears silence, and goes on
  s                 type a text for the model to say; Enter sends, Esc does not
  space             interrupt: what was not heard yet is forgotten
  q, Ctrl+C         end the call
  Ctrl+Z            stop here until the shell's fg

Devices:
  The first of these sound systems that works: ${SOUND_SYSTEMS.join(', ')}.
  --input and --output take a part of a name that --list-devices shows, or
  SYSTEM:NAME for any other, as alsa:plughw:1,0; pulse is PipeWire, too.

Exit codes:
  0 the call was ended, 1 it broke or there is no sound here, 2 bad option,
  3 bad input file, 4 no connection, 130 interrupted before it began

Examples:
  $ moshi chat wss://gpu-box:8998 --insecure --voice NATF2
  $ moshi chat --in question.wav --out answer.wav --tail 5`;

/** Adds `moshi chat`. */
export function addChat(program: Command, host: Host): void {
  const command = program
    .command('chat')
    .summary('talk with a model, by microphone and loudspeaker')
    .description(
      'Talks with the model of a server. What it says is written as it is heard; keys mute, make it say a text, interrupt it ' +
        'and end the call. There is no echo cancellation in a terminal: use headphones, or --half-duplex.',
    )
    .argument('[url]', `server to talk to (default: ${DEFAULT_URL})`);
  addPersonaOptions(command).option('--say-only', 'the model says nothing but what it is given to say');
  addServerOptions(command)
    .option('--in <in.wav>', 'a recording in place of the microphone, in real time; the call ends after it')
    .option('--out <out.wav>', 'where the model goes in place of the loudspeaker, its first hour')
    .option('--tail <seconds>', 'time for the model after --in', within(0, 3600), 3)
    .option('--input <name>', 'microphone, by a part of its name or as SYSTEM:NAME')
    .option('--output <name>', 'loudspeaker, by a part of its name or as SYSTEM:NAME')
    .option('--list-devices', 'show microphones and loudspeakers, and end')
    .option('--no-microphone', 'the model hears silence: for typing')
    .option('--half-duplex', 'mute the microphone while the model speaks, for loudspeakers without headphones')
    .option('--no-captions', 'do not write what the model says')
    .addHelpText('after', MORE_HELP)
    .action((url: string | undefined, flags: ChatFlags) => chat(host, url ?? DEFAULT_URL, flags));
}

async function chat(host: Host, url: string, flags: ChatFlags): Promise<void> {
  checkFlags(flags);
  const asked = talkOptions(flags);
  if (flags.listDevices) {
    host.stdout.write(await describeDevices(host.sound ?? new SystemSound()));
    return;
  }
  const { platform, over, store } = await openSound(flags, host.sound);
  const device = async (kind: 'input' | 'output', wanted: string | undefined) =>
    wanted === undefined ? undefined : (await findDevice(platform, kind, wanted)).id;
  const [inputId, outputId] = [await device('input', flags.input), await device('output', flags.output)];
  const hasDevices = flags.in === undefined && flags.out === undefined && flags.microphone;
  const isTerminal = host.stdout.isTTY === true && process.env.TERM !== 'dumb';
  const hangUp = new AbortController();
  const onHangUp = () => hangUp.abort();
  // Without one it may be `nohup` that runs it.
  if (isTerminal) process.once('SIGHUP', onHangUp);
  try {
    await holdCall({
      url,
      connect: { ...asked, ...(flags.seed !== undefined && { seed: flags.seed }), audio: { platform } },
      microphone: { deviceId: inputId, onDeviceLost: 'default', ...(!flags.microphone && { source: 'silence' }) },
      speaker: { deviceId: outputId },
      halfDuplex: flags.halfDuplex === true,
      ...(!flags.halfDuplex && hasDevices && { advice: HEADPHONES }),
      ...(isTerminal && host.stdin?.isTTY && { keyboard: host.stdin }),
      signal: AbortSignal.any([host.signal, hangUp.signal]),
      over,
      open: (title) =>
        isTerminal
          ? new TerminalView(host.stdout, { title, captions: flags.captions })
          : new PlainView(host, flags.captions),
    });
  } finally {
    process.off('SIGHUP', onHangUp);
    await store();
  }
}

function checkFlags(flags: ChatFlags): void {
  const pairs = [
    ['--in', flags.in, '--input', flags.input],
    ['--in', flags.in, '--no-microphone', flags.microphone ? undefined : ''],
    ['--out', flags.out, '--output', flags.output],
  ] as const;
  for (const [one, file, other, device] of pairs) {
    if (file !== undefined && device !== undefined) {
      throw new CliError(ExitCode.usage, `${one} takes the place of a device: leave out ${other}`);
    }
  }
}
