import type { AudioDevice, AudioPlatform, MoshiError } from '@moshi/client';
import { SAMPLE_RATE } from '@moshi/protocol';
import { concat, readWav, resample, writeWav } from '@moshi/protocol/audio';
import { CliError, ExitCode } from '../exit';
import { checkOutput, parseInput, writeOutput } from '../files';
import { fileInput, fileOutput } from '../sound/file-sound';
import { SystemSound } from '../sound/system-sound';
import { SOUND_SYSTEMS } from '../sound/tools';

/** Which sound a call is to have. */
export interface SoundFlags {
  readonly in?: string;
  readonly out?: string;
  readonly tail: number;
  readonly microphone: boolean;
}

/** The sound of one call. */
export interface CallSound {
  readonly platform: AudioPlatform;
  /** Resolves when the recording of `--in` is over, and the time after it; else never. */
  readonly over: Promise<void>;
  /** Stores what was heard, where that is asked for. */
  store(): Promise<void>;
}

/** What is heard longer than this is not kept. */
const MOST_SECONDS = 3600;

/** Files where they are given, else what the system has (or `own`). Throws {@link CliError} for files, and for a system without sound. */
export async function openSound(flags: SoundFlags, own?: AudioPlatform): Promise<CallSound> {
  const system = own ?? new SystemSound();
  let ended = () => {};
  const over = new Promise<void>((resolve) => {
    ended = () => setTimeout(resolve, flags.tail * 1000);
  });
  const parts: Float32Array[] = [];
  let samples = 0;
  const keep = (pcm: Float32Array) => {
    samples += pcm.length;
    if (samples <= MOST_SECONDS * SAMPLE_RATE) parts.push(pcm);
  };
  const input =
    flags.in === undefined ? checked(system, 'input', flags.microphone) : fileInput(await recording(flags.in), ended);
  if (flags.out !== undefined) await checkOutput(flags.out);
  const output = flags.out === undefined ? checked(system, 'output', true) : fileOutput(keep);
  const platform: AudioPlatform = {
    openInput: (options, sink) => (options.source === 'silence' ? system : input).openInput(options, sink),
    openOutput: (options, sink) => output.openOutput(options, sink),
    devices: () => system.devices(),
    onDevices: (listener) => system.onDevices(listener),
  };
  return {
    platform,
    over,
    async store() {
      if (flags.out !== undefined && parts.length > 0) await writeOutput(flags.out, writeWav(concat(parts)));
    },
  };
}

/** The device a user means by a part of its name that only it has, or by its id, which no list needs to have: `alsa:hw:1,0`. */
export async function findDevice(
  platform: AudioPlatform,
  kind: AudioDevice['kind'],
  wanted: string,
): Promise<AudioDevice> {
  const { inputs, outputs } = await platform.devices();
  const all = kind === 'input' ? inputs : outputs;
  const part = wanted.toLowerCase();
  const alike = all.filter(({ id, label }) => `${id}\n${label}`.toLowerCase().includes(part));
  const found = all.find(({ id }) => id === wanted) ?? (alike.length === 1 ? alike[0] : undefined);
  if (found) return found;
  if (SOUND_SYSTEMS.some((system) => wanted.startsWith(`${system}:`))) {
    return { id: wanted, label: wanted, kind, isDefault: false };
  }
  const what = kind === 'input' ? 'microphone' : 'loudspeaker';
  const trouble = alike.length > 1 ? `'${wanted}' is ${alike.length} devices` : `there is no ${what} '${wanted}'`;
  throw new CliError(ExitCode.usage, `${trouble}: give a name that moshi chat --list-devices shows`);
}

/** What the user may choose from, one line a device. */
export async function describeDevices(platform: AudioPlatform): Promise<string> {
  const { inputs, outputs } = await platform.devices();
  const list = (title: string, devices: readonly AudioDevice[]) => {
    const lines = devices.map(({ id, label, isDefault }) => {
      const about = id.endsWith(`:${label}`) ? '' : `  ${label}`;
      return `  ${isDefault ? '*' : ' '} ${id}${about}\n`;
    });
    return `${title}:\n${lines.join('') || '    none\n'}`;
  };
  return list('microphones', inputs) + list('loudspeakers', outputs);
}

function checked(system: AudioPlatform, side: AudioDevice['kind'], needed: boolean): AudioPlatform {
  if (!needed || !(system instanceof SystemSound)) return system;
  try {
    system.check(side);
  } catch (error) {
    throw new CliError(ExitCode.failed, (error as MoshiError).message, { cause: error });
  }
  return system;
}

async function recording(path: string): Promise<Float32Array> {
  const { pcm, sampleRate } = await parseInput(path, readWav);
  if (pcm.length === 0) throw new CliError(ExitCode.input, `${path} has no sound in it: record it again`);
  return resample(pcm, sampleRate, SAMPLE_RATE);
}
