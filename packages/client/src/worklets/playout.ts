// The loudspeaker's end in the audio thread: the jitter buffer.
import { PlayoutBuffer } from '../playout/playout-buffer';
import type { PlayoutCommand, PlayoutReport, PlayoutSetup } from './messages';
import { type Channels, scope } from './scope';

const REPORT_SECONDS = 0.05;

class PlayoutProcessor extends scope.AudioWorkletProcessor {
  readonly #buffer: PlayoutBuffer;
  #free: ArrayBuffer[] = [];
  #state = '';
  #leftOut = 0;
  #reportedAt = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor({ processorOptions }: { processorOptions: PlayoutSetup }) {
    super();
    this.#buffer = new PlayoutBuffer({ ...processorOptions, sampleRate: scope.sampleRate });
    this.port.onmessage = ({ data }: MessageEvent<PlayoutCommand>) => this.#obey(data);
  }

  process(_inputs: Channels, outputs: Channels): boolean {
    if (this.#stopped) return false;
    const out = outputs[0]![0]!;
    this.#buffer.pull(out);
    const { state, leftOut } = this.#buffer;
    const frame = scope.currentFrame + out.length;
    const isChange = state !== this.#state || leftOut !== this.#leftOut;
    if (isChange || frame - this.#reportedAt >= REPORT_SECONDS * scope.sampleRate) this.#report(frame);
    return true;
  }

  #obey({ push, time = 0, clear, stop }: PlayoutCommand): void {
    if (push) {
      this.#buffer.push(new Float32Array(push), time, (scope.currentFrame / scope.sampleRate) * 1000);
      this.#free.push(push);
    }
    if (clear) this.#buffer.clear();
    if (stop) this.#stopped = true;
  }

  #report(frame: number): void {
    const { status, state, leftOut } = this.#buffer;
    this.#state = state;
    this.#leftOut = leftOut;
    this.#reportedAt = frame;
    const report: PlayoutReport = { frame, status, free: this.#free };
    this.port.postMessage(report, this.#free);
    this.#free = [];
  }
}

scope.registerProcessor('moshi-playout', PlayoutProcessor);
