// The microphone's end in the audio thread: mono blocks to the page, and zeros while muted.
import type { CaptureCommand, CapturedBlock, CaptureSetup } from './messages';
import { type Channels, scope } from './scope';

/** Short enough to cost little delay, long enough not to keep the page busy. */
const BLOCK_SECONDS = 0.008;
const FADE_SECONDS = 0.005;

class CaptureProcessor extends scope.AudioWorkletProcessor {
  readonly #length = 128 * Math.round((BLOCK_SECONDS * scope.sampleRate) / 128);
  readonly #step = 1 / (FADE_SECONDS * scope.sampleRate);
  #block = new Float32Array(this.#length);
  #filled = 0;
  #pool: ArrayBuffer[] = [];
  #muted: boolean;
  #gain: number;
  #stopped = false;

  constructor({ processorOptions }: { processorOptions: CaptureSetup }) {
    super();
    this.#muted = processorOptions.muted;
    this.#gain = this.#muted ? 0 : 1;
    this.port.onmessage = ({ data }: MessageEvent<CaptureCommand>) => {
      if (data.muted !== undefined) this.#muted = data.muted;
      if (data.free) this.#pool.push(data.free);
      if (data.stop) this.#stopped = true;
    };
  }

  process(inputs: Channels, outputs: Channels): boolean {
    if (this.#stopped) return false;
    const heard = inputs[0]?.[0];
    const out = outputs[0]![0]!;
    for (let i = 0; i < out.length; i++) {
      this.#gain = this.#muted ? Math.max(0, this.#gain - this.#step) : Math.min(1, this.#gain + this.#step);
      out[i] = this.#gain * (heard?.[i] || 0);
      this.#block[this.#filled++] = out[i]!;
      if (this.#filled === this.#length) this.#send(scope.currentFrame + i + 1);
    }
    return true;
  }

  #send(frame: number): void {
    const message: CapturedBlock = { pcm: this.#block.buffer, frame };
    this.port.postMessage(message, [message.pcm]);
    this.#block = new Float32Array(this.#pool.pop() ?? new ArrayBuffer(4 * this.#length));
    this.#filled = 0;
  }
}

scope.registerProcessor('moshi-capture', CaptureProcessor);
