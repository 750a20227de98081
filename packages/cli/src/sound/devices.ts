import { execFile } from 'node:child_process';
import { findProgram } from './find-program';
import type { SoundTool } from './tools';

/** A device by the name that its sound system's programs take. */
export interface NamedDevice {
  readonly name: string;
  readonly label: string;
  readonly isDefault: boolean;
}

const LIST_MS = 5000;

/** The devices of one sound system; undefined where nothing lists them. */
export async function listDevices(
  system: SoundTool['system'],
  side: 'input' | 'output',
  platform: NodeJS.Platform,
  env: NodeJS.ProcessEnv,
): Promise<NamedDevice[] | undefined> {
  const run = (program: string, ...args: string[]) => output(program, args, platform, env);
  if (system === 'pulse') {
    const kind = side === 'input' ? 'source' : 'sink';
    return parsePulse(await run('pactl', 'list', 'short', `${kind}s`), await run('pactl', 'info'), kind);
  }
  if (system === 'alsa') return parseAlsa(await run(side === 'input' ? 'arecord' : 'aplay', '-L'));
  if (system !== 'ffmpeg' || side === 'output') return undefined;
  if (platform === 'darwin') {
    return parseAvFoundation(await run('ffmpeg', ...LIST_WITH_FFMPEG, '-f', 'avfoundation', '-i', ''));
  }
  return platform === 'win32'
    ? parseDirectShow(await run('ffmpeg', ...LIST_WITH_FFMPEG, '-f', 'dshow', '-i', 'dummy'))
    : undefined;
}

const LIST_WITH_FFMPEG = ['-hide_banner', '-list_devices', 'true'];

/** `pactl list short` has a line for each device: number, name, driver, format, state. */
export function parsePulse(list: string, info: string, kind: 'source' | 'sink'): NamedDevice[] {
  const byDefault = new RegExp(`^Default ${kind}: (.+)$`, 'im').exec(info)?.[1];
  return list.split('\n').flatMap((line) => {
    const name = line.split('\t')[1];
    // What a loudspeaker plays is no microphone, though it can be recorded.
    if (!name || (kind === 'source' && name.endsWith('.monitor'))) return [];
    return { name, label: name, isDefault: name === byDefault };
  });
}

/** `arecord -L` has a name on a line of its own, and what it is on lines that begin with blanks. */
export function parseAlsa(list: string): NamedDevice[] {
  return list
    .split(/\n(?=\S)/)
    .map((entry) => entry.trim().split(/\n\s+/))
    .filter(([name = '']) => /^(default|pipewire|pulse|jack|(plughw|sysdefault):.+)$/.test(name))
    .map(([name = '', ...about]) => ({ name, label: about.join(', ') || name, isDefault: name === 'default' }));
}

/** ffmpeg's list on macOS: `[…] [0] Name` below a headline. Which of them is the system's default it does not tell. */
export function parseAvFoundation(list: string): NamedDevice[] {
  const [, audio = ''] = list.split(/AVFoundation audio devices:/);
  const named = [...audio.matchAll(/\] \[(\d+)\] (.+)$/gm)].map(([, name = '', label = '']) => {
    return { name, label, isDefault: false };
  });
  return named.length === 0 ? [] : [{ name: 'default', label: 'default microphone', isDefault: true }, ...named];
}

/** ffmpeg's list on Windows: `[…] "Name" (audio)`, until ffmpeg 4.4 without what it is, below a headline. */
export function parseDirectShow(list: string): NamedDevice[] {
  let isAudio = false;
  const names = list.split(/\r?\n/).flatMap((line) => {
    const [, headline] = /\] DirectShow (video|audio) devices/.exec(line) ?? [];
    if (headline) isAudio = headline === 'audio';
    const [, name, kinds] = /\]\s+"(.+)"(?: \(([a-z, ]+)\))?$/.exec(line) ?? [];
    return name && (kinds ? kinds.split(', ').includes('audio') : isAudio) ? name : [];
  });
  return names.map((name, i) => ({ name, label: name, isDefault: i === 0 }));
}

/** What a program prints on either stream, whatever it ends with; empty when it is not there. */
function output(program: string, args: string[], platform: NodeJS.Platform, env: NodeJS.ProcessEnv): Promise<string> {
  const path = findProgram(program, env, platform);
  if (path === undefined) return Promise.resolve('');
  return new Promise((resolve) => {
    execFile(path, args, { timeout: LIST_MS, env: { ...env, LC_ALL: 'C' }, windowsHide: true }, (_, stdout, stderr) => {
      resolve(`${stdout}\n${stderr}`);
    });
  });
}
