import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../../cli/src/sound/find-program';
import { endProcess } from './end-process';

const SAMPLE_RATE = 24_000;
const FORMAT = ['--raw', '--format=float32le', `--rate=${SAMPLE_RATE}`, '--channels=1'];

/** Where sound goes: the default loudspeaker, another one, and the mouth in front of the microphone. */
export type Place = 'speaker' | 'headphones' | 'mouth';

/** PulseAudio with devices that are not there; what is played to a null sink can be heard at its monitor. */
const SCRIPT = `
load-module module-null-sink sink_name=speaker rate=48000 sink_properties=device.description=Speaker
load-module module-null-sink sink_name=headphones rate=48000 sink_properties=device.description=Headphones
load-module module-null-sink sink_name=mouth rate=48000 channels=1 sink_properties=device.description=Mouth
load-module module-remap-source source_name=microphone master=mouth.monitor source_properties=device.description=Microphone
set-default-sink speaker
set-default-source microphone
`;

/** Whether there is a PulseAudio to start. */
export const hasSoundSystem: boolean = ['pulseaudio', 'pactl', 'pacat'].every((program) =>
  findProgram(program, process.env, process.platform),
);

/** Loudspeakers and a microphone of a machine that has none, for browsers that make no sound without: a sound server of its own. */
export class SoundSystem {
  readonly #server: ChildProcess;
  readonly #folder: string;
  readonly #children = new Set<ChildProcess>();

  private constructor(server: ChildProcess, folder: string) {
    this.#server = server;
    this.#folder = folder;
  }

  static async start(): Promise<SoundSystem> {
    const folder = await mkdtemp(join(tmpdir(), 'moshi-sound-'));
    const socket = join(folder, 'socket');
    await writeFile(
      join(folder, 'script'),
      `load-module module-native-protocol-unix auth-anonymous=1 socket=${socket}${SCRIPT}`,
    );
    const own = [
      '--daemonize=no',
      '--exit-idle-time=-1',
      '--use-pid-file=no',
      '--disable-shm=yes',
      '--log-level=error',
    ];
    const server = spawn('pulseaudio', ['-n', ...own, '-F', join(folder, 'script')], {
      stdio: 'ignore',
      env: { ...process.env, HOME: folder, XDG_RUNTIME_DIR: folder, XDG_CONFIG_HOME: folder },
    });
    const system = new SoundSystem(server, folder);
    // The last line of the script is done when the default is set.
    while (!(await system.#said('pactl', ['get-default-source'])).startsWith('microphone')) {
      if (server.exitCode !== null) throw new Error('pulseaudio ended before it was ready');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return system;
  }

  /** The environment in which programs find this one. */
  get env(): NodeJS.ProcessEnv {
    return { ...process.env, PULSE_SERVER: `unix:${join(this.#folder, 'socket')}` };
  }

  /** Says 24 kHz mono sound into the microphone; resolves when it is said, or `signal` ends it. */
  async say(pcm: Float32Array, signal?: AbortSignal): Promise<void> {
    const child = this.#spawn('pacat', ['--playback', '--device=mouth', ...FORMAT]);
    const ended = once(child, 'exit');
    signal?.addEventListener('abort', () => child.kill());
    child.stdin!.end(new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength));
    await ended;
  }

  /** Listens at both ends from here on. */
  async listen(at: Exclude<Place, 'mouth'> = 'speaker'): Promise<Ears> {
    const [captured, heard] = await Promise.all([this.#record('mouth'), this.#record(at)]);
    return new Ears(captured, heard);
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill();
    await endProcess(this.#server);
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #record(place: Place): Promise<Track> {
    const child = this.#spawn('pacat', ['--record', `--device=${place}.monitor`, '--latency-msec=20', ...FORMAT]);
    const track = new Track(child);
    await once(child.stdout!, 'data');
    return track;
  }

  async #said(program: string, args: string[]): Promise<string> {
    const child = this.#spawn(program, args);
    let text = '';
    child.stdout!.on('data', (bytes) => {
      text += bytes;
    });
    await once(child, 'close');
    return text;
  }

  #spawn(program: string, args: string[]): ChildProcess {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], env: this.env });
    // Who is ended while he speaks is told by the end, not by the pipe that broke.
    child.stdin!.on('error', () => {});
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }
}

/** What goes by at one place, and when its first sample did: as told by what came with the least delay. */
class Track {
  readonly #child: ChildProcess;
  readonly #parts: Buffer[] = [];
  #bytes = 0;
  /** `Date.now()`. */
  beginMs = Number.POSITIVE_INFINITY;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout!.on('data', (part: Buffer) => {
      this.#parts.push(part);
      this.#bytes += part.length;
      this.beginMs = Math.min(this.beginMs, Date.now() - this.#bytes / 4 / (SAMPLE_RATE / 1000));
    });
  }

  get pcm(): Float32Array {
    const bytes = Uint8Array.from(Buffer.concat(this.#parts));
    return new Float32Array(bytes.buffer, 0, bytes.length >> 2);
  }

  stop(): void {
    this.#child.kill();
  }
}

/** What was said and what was heard, outside of any browser. */
export class Ears {
  readonly #captured: Track;
  readonly #heard: Track;

  constructor(captured: Track, heard: Track) {
    this.#captured = captured;
    this.#heard = heard;
  }

  /** Both so far, 24 kHz mono, on one clock; and when that began (`Date.now()`). */
  read(): { captured: Float32Array; heard: Float32Array; beginMs: number } {
    const beginMs = Math.max(this.#captured.beginMs, this.#heard.beginMs);
    const [captured, heard] = [this.#captured, this.#heard].map((track) =>
      track.pcm.subarray(Math.round(((beginMs - track.beginMs) * SAMPLE_RATE) / 1000)),
    );
    return { captured: captured!, heard: heard!, beginMs };
  }

  /** As {@link read}, and no more is listened to. */
  stop(): ReturnType<Ears['read']> {
    this.#captured.stop();
    this.#heard.stop();
    return this.read();
  }
}
