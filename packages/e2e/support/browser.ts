import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { describe } from 'vitest';

const PATHS = [process.env.MOSHI_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'];

/** A whole Chromium, not the headless shell, which refuses microphones: MOSHI_CHROMIUM or Debian's; undefined where there is none. */
export const chromiumPath: string | undefined = PATHS.find((path) => path && existsSync(path));

/** What {@link launch} starts. */
export interface LaunchOptions {
  /** WAV file that every microphone plays from its beginning, see `micWav`; default: Chromium's beeps. */
  readonly microphone?: string;
  /** Begin the file again when it ends; default false. */
  readonly loop?: boolean;
  /** Refuse the microphone, until the context is given the permission; default false: allowed at once. */
  readonly deny?: boolean;
  /** Whether a page may play sound before anybody clicked; default `free`. */
  readonly autoplay?: 'gesture' | 'free';
  /** False: a machine without a microphone. */
  readonly fakeDevices?: boolean;
  /** Further switches. */
  readonly args?: readonly string[];
}

/** Starts Chromium with devices that are not there: the microphone plays a file, and the loudspeaker is as slow as a real one. */
export function launch(options: LaunchOptions = {}): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath,
    ignoreDefaultArgs: ['--mute-audio'],
    args: switches(options),
  });
}

/** The switches of {@link launch}, for tests that start Chromium themselves. */
export function switches(options: LaunchOptions = {}): string[] {
  const { microphone, loop = false, deny = false, autoplay = 'free', fakeDevices = true, args = [] } = options;
  return [
    // The sandbox keeps Chromium from reading the microphone's file, and does not start for root.
    '--no-sandbox',
    // Without a sound card only this sink makes an AudioContext's time pass.
    '--disable-audio-output',
    // As every Chromium is shipped; `user-gesture-required` would leave out Web Audio.
    `--autoplay-policy=${autoplay === 'free' ? 'no-user-gesture-required' : 'document-user-activation-required'}`,
    ...(fakeDevices ? ['--use-fake-device-for-media-stream'] : []),
    ...(deny ? [] : ['--use-fake-ui-for-media-stream']),
    ...(microphone ? [`--use-file-for-fake-audio-capture=${microphone}${loop ? '' : '%noloop'}`] : []),
    ...args,
  ];
}

/** As `describe` where there is a Chromium; elsewhere its tests are skipped, and the line says why. */
export function describeInChromium(name: string, tests: () => void): void {
  if (chromiumPath) describe(name, tests);
  else describe.skip(`${name} (no Chromium: apt-get install chromium, or set MOSHI_CHROMIUM)`, tests);
}

/** Whether the tests that take long are wanted, too: `MOSHI_E2E=all`. */
export const wantsAll = process.env.MOSHI_E2E === 'all';
