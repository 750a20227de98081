import {
  type AudioDevice,
  type AudioPlatform,
  type DeviceList,
  type InputOptions,
  type InputPort,
  type InputSink,
  MoshiError,
  type OutputOptions,
  type OutputPort,
  type OutputSink,
} from '@moshi/client';
import { listDevices, type NamedDevice } from './devices';
import { findProgram } from './find-program';
import { SystemInput } from './system-input';
import { SystemOutput } from './system-output';
import { openToolDrain, openToolInput } from './tool-ports';
import type { FoundTool } from './tool-process';
import { type SoundTool, soundTools } from './tools';

/** Where {@link systemSound} looks. */
export interface SystemSoundOptions {
  /** Default: this process's. */
  readonly platform?: NodeJS.Platform;
  readonly env?: NodeJS.ProcessEnv;
}

type Side = 'input' | 'output';

const TRY_AGAIN_MS = 3000;
const NAMES = { input: 'microphone', output: 'loudspeaker' } as const;

/**
 * Microphone and loudspeaker through the programs that a system has for them. A device's id is its sound system and its
 * name there, as `pulse:alsa_input.usb`.
 */
export class SystemSound implements AudioPlatform {
  readonly #platform: NodeJS.Platform;
  readonly #env: NodeJS.ProcessEnv;
  /** What each side runs on. */
  readonly #used: Partial<Record<Side, SoundTool['system']>> = {};
  #isLost = false;

  constructor({ platform = process.platform, env = process.env }: SystemSoundOptions = {}) {
    this.#platform = platform;
    this.#env = env;
  }

  /** Throws `unsupported` with what to install when there is no program for this side. */
  check(side: Side): void {
    this.#found(side);
  }

  async openInput(options: InputOptions, sink: InputSink): Promise<InputPort> {
    if (options.stream) throw new MoshiError('unsupported', 'a MediaStream is of browsers: leave out `stream`');
    if (options.source === 'silence') {
      const input = new SystemInput(sink, options);
      input.hearSilence();
      return input;
    }
    const watched: InputSink = {
      samples: (pcm, atMs) => sink.samples(pcm, atMs),
      interrupted: (on) => sink.interrupted(on),
      lost: (error) => {
        this.#isLost = true;
        sink.lost(error);
      },
    };
    const port = await this.#first('input', options.deviceId, (found, device) =>
      openToolInput(found, device, { ...options, device: described('input', found.tool, device) }, watched),
    );
    this.#isLost = false;
    return port;
  }

  openOutput(options: OutputOptions, sink: OutputSink): Promise<OutputPort> {
    const open = (deviceId: string | undefined, lost: (error: MoshiError) => void) =>
      this.#first('output', deviceId, (found, device) =>
        openToolDrain(found, device, described('output', found.tool, device), lost),
      );
    return SystemOutput.open(open, options, sink);
  }

  async devices(): Promise<DeviceList> {
    const [inputs, outputs] = await Promise.all([this.#list('input'), this.#list('output')]);
    return { inputs, outputs, labelled: true, canChooseOutput: outputs.length > 1 };
  }

  /** Nothing tells of devices that come here, so while a microphone is lost it is tried again every `everyMs`. */
  onDevices(listener: () => void, everyMs = TRY_AGAIN_MS): () => void {
    const timer = setInterval(() => this.#isLost && listener(), everyMs);
    return () => clearInterval(timer);
  }

  #found(side: Side): FoundTool[] {
    const tools = soundTools(this.#platform);
    const wanted = side === 'input' ? tools.capture : tools.playback;
    const found = wanted.flatMap((tool) => {
      const path = findProgram(tool.program, this.#env, this.#platform);
      return path === undefined ? [] : { tool, path, env: this.#env };
    });
    if (found.length > 0) return found;
    const names = wanted.map(({ program }) => program).join(', ');
    throw new MoshiError(
      'unsupported',
      `there is no program here for the ${NAMES[side]} (${names}): ${tools.cure}, or give ${instead(side)}`,
    );
  }

  /** Tries one tool after the other, as one may be there without the sound system it belongs to. */
  async #first<T>(
    side: Side,
    deviceId: string | undefined,
    open: (found: FoundTool, device: string | undefined) => Promise<T>,
  ): Promise<T> {
    const [, system, named] = /^([a-z]+):(.*)$/s.exec(deviceId ?? '') ?? [];
    const name = named === 'default' ? undefined : named;
    const failures: MoshiError[] = [];
    // While its sound system starts anew, a program of another could take the device away from it.
    const only = deviceId === undefined ? this.#used[side] : (system ?? 'none');
    for (const found of this.#found(side)) {
      if (only !== undefined && found.tool.system !== only) continue;
      try {
        const opened = await open(found, name ?? (await this.#needed(found)));
        this.#used[side] = found.tool.system;
        return opened;
      } catch (error) {
        failures.push(error as MoshiError);
      }
    }
    const [first] = failures;
    if (!first) throw new MoshiError('no-device', `there is no ${NAMES[side]} '${deviceId}': see --list-devices`);
    const words = failures.map(({ message }) => message).join('; ');
    throw new MoshiError(
      first.code,
      `no ${NAMES[side]} could be opened (${words}): start the sound system, choose one of --list-devices, or give ${instead(side)}`,
      { cause: first },
    );
  }

  /** A name for tools that know no default device. */
  async #needed({ tool }: FoundTool): Promise<string | undefined> {
    if (!tool.needsDevice) return undefined;
    const devices = await listDevices(tool.system, 'input', this.#platform, this.#env);
    return devices?.[0]?.name;
  }

  async #list(side: Side): Promise<AudioDevice[]> {
    let found: FoundTool[];
    try {
      found = this.#found(side);
    } catch {
      return [];
    }
    const devices: AudioDevice[] = [];
    let [isListed, hasDefault] = [false, false];
    for (const { tool } of found) {
      const named = isListed ? undefined : await listDevices(tool.system, side, this.#platform, this.#env);
      const listed = named?.map((each) => toDevice(side, tool, each)) ?? [];
      const all = listed.length > 0 ? listed : [described(side, tool, undefined)];
      // A call takes the first by itself, but for a sound system that could tell its devices and has none: it does not run.
      const isTaken = !hasDefault && named?.length !== 0;
      devices.push(...all.map((each) => ({ ...each, isDefault: isTaken && each.isDefault })));
      isListed ||= listed.length > 0;
      hasDefault ||= isTaken;
    }
    return devices;
  }
}

function toDevice(kind: Side, { system }: SoundTool, { name, label, isDefault }: NamedDevice): AudioDevice {
  return { id: `${system}:${name}`, label, kind, isDefault };
}

function described(kind: Side, tool: SoundTool, name: string | undefined): AudioDevice {
  const isDefault = name === undefined;
  return { id: `${tool.system}:${name ?? 'default'}`, label: name ?? `default ${NAMES[kind]}`, kind, isDefault };
}

const instead = (side: Side) => (side === 'input' ? '--in FILE or --no-microphone' : '--out FILE');
