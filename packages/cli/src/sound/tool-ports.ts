import { type AudioDevice, type InputPort, type InputSink, MoshiError } from '@moshi/client';
import { SAMPLE_RATE } from '@moshi/protocol';
import { pcm16 } from '@moshi/protocol/audio';
import { CatchUp } from './catch-up';
import { Pace } from './pace';
import { SystemInput } from './system-input';
import type { Drain } from './system-output';
import { type FoundTool, ToolProcess } from './tool-process';
import type { SoundTool } from './tools';

/** A microphone that works gives sound within a moment. */
const FIRST_SOUND_MS = 5000;
/** A player without a loudspeaker ends within this. */
const SETTLE_MS = 250;
/** What a player that does not read may make wait. */
const MOST_WAITING_BYTES = SAMPLE_RATE * 4;
/** A player that has let so much pass by is not going to play. */
const MOST_MISSED = SAMPLE_RATE * 5;
/** A player that tells how far it is holds this much more than it should before anything is left out. */
const LATE_MS = 100;

/** Starts a program that records; resolves with its first sound. Rejects with MoshiError when it ends without any. */
export async function openToolInput(
  found: FoundTool,
  name: string | undefined,
  options: { readonly muted: boolean; readonly device: AudioDevice },
  sink: InputSink,
): Promise<InputPort> {
  const running = new ToolProcess(found, name, 'input');
  const { tool } = found;
  const input = new SystemInput(sink, options, () => running.close());
  const reader = new SampleReader(tool.format);
  const pace = new Pace(SAMPLE_RATE);
  const { stdout } = running.child;
  const heard = new Promise<void>((resolve) => {
    stdout?.on('data', (bytes: Buffer) => {
      resolve();
      const pcm = reader.read(bytes);
      if (pcm.length > 0) input.hear(pcm);
      const waitMs = pace.wait(pcm.length);
      if (waitMs < 1) return;
      stdout.pause();
      setTimeout(() => stdout.resume(), waitMs);
    });
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<MoshiError>((resolve) => {
    const words = `${tool.program}: it gave no sound for ${FIRST_SOUND_MS / 1000} s`;
    timer = setTimeout(() => resolve(new MoshiError('no-device', words)), FIRST_SOUND_MS);
  });
  const failed = await Promise.race([heard, running.ended, late]);
  clearTimeout(timer);
  if (failed) {
    await input.close();
    throw failed;
  }
  void running.ended.then(({ message }) => input.lose(lost(`the microphone is gone (${message})`)));
  return input;
}

/** Starts a program that plays. Rejects with MoshiError when it ends at once. */
export async function openToolDrain(
  found: FoundTool,
  name: string | undefined,
  device: AudioDevice,
  onLost: (error: MoshiError) => void,
): Promise<Drain> {
  const { tool } = found;
  const catchUp = new CatchUp();
  let written = 0;
  const running = new ToolProcess(found, name, 'output', (line) => {
    if (tool.ranDry?.test(line)) catchUp.ranDry();
    const played = tool.played?.exec(line)?.[1];
    if (played === undefined || written === 0) return;
    const lateMs = (written / SAMPLE_RATE - Number(played)) * 1000 - tool.latencyMs;
    catchUp.owe(lateMs > LATE_MS ? lateMs : 0);
  });
  let timer: NodeJS.Timeout | undefined;
  const settled = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, SETTLE_MS);
  });
  const failed = await Promise.race([running.ended, settled]);
  clearTimeout(timer);
  if (failed) throw failed;
  let missed = 0;
  let isLost = false;
  const giveUp = () => {
    isLost = true;
    void running.close();
    onLost(lost(`the loudspeaker is silent (${tool.program}: it took no sound for ${MOST_MISSED / SAMPLE_RATE} s)`));
  };
  void running.ended.then(({ message }) => onLost(lost(`the loudspeaker is gone (${message})`)));
  const { stdin } = running.child;
  return {
    device,
    latencyMs: tool.latencyMs,
    write(pcm) {
      if (isLost || catchUp.leavesOut(pcm) || !stdin?.writable) return;
      // It stands still.
      if (stdin.writableLength > MOST_WAITING_BYTES) {
        missed += pcm.length;
        if (missed > MOST_MISSED) giveUp();
        return catchUp.ranDry();
      }
      missed = 0;
      written += pcm.length;
      stdin.write(tool.format === 'int16' ? pcm16.encode(pcm) : floats(pcm));
    },
    close: () => running.close(),
  };
}

/** Samples out of bytes, which come cut anywhere. */
class SampleReader {
  readonly #size: number;
  #rest = Buffer.alloc(0);

  constructor(format: SoundTool['format']) {
    this.#size = format === 'int16' ? 2 : 4;
  }

  read(bytes: Buffer): Float32Array {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const count = Math.floor(all.length / this.#size);
    this.#rest = Buffer.from(all.subarray(count * this.#size));
    if (this.#size === 2) return pcm16.decode(all.subarray(0, count * 2));
    // Not every bit pattern is a sound.
    return Float32Array.from({ length: count }, (_, i) => {
      const sample = all.readFloatLE(i * 4);
      return Number.isFinite(sample) ? sample : 0;
    });
  }
}

function floats(pcm: Float32Array): Buffer {
  const bytes = Buffer.alloc(pcm.length * 4);
  pcm.forEach((sample, i) => {
    bytes.writeFloatLE(sample, i * 4);
  });
  return bytes;
}

function lost(message: string): MoshiError {
  return new MoshiError('device-lost', message);
}
