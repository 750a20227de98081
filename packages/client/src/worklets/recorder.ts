// Both sides of a conversation, sample beside sample, to the page.
import type { RecordedBlock, RecorderCommand } from './messages';
import { type Channels, scope } from './scope';

const BLOCK_SECONDS = 0.1;

class RecorderProcessor extends scope.AudioWorkletProcessor {
  readonly #length = Math.round(BLOCK_SECONDS * scope.sampleRate);
  #model = new Float32Array(this.#length);
  #user = new Float32Array(this.#length);
  #filled = 0;
  #stopped = false;

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<RecorderCommand>) => {
      if (!data.stop || this.#stopped) return;
      this.#stopped = true;
      this.#send(true);
    };
  }

  process(inputs: Channels, outputs: Channels): boolean {
    if (this.#stopped) return false;
    const model = inputs[0]?.[0];
    const user = inputs[1]?.[0];
    const length = outputs[0]![0]!.length;
    for (let i = 0; i < length; i++) {
      this.#model[this.#filled] = model?.[i] ?? 0;
      this.#user[this.#filled++] = user?.[i] ?? 0;
      if (this.#filled === this.#length) this.#send(false);
    }
    return true;
  }

  #send(last: boolean): void {
    const model = this.#model.slice(0, this.#filled).buffer;
    const user = this.#user.slice(0, this.#filled).buffer;
    const message: RecordedBlock = { model, user, last };
    this.port.postMessage(message, [model, user]);
    this.#filled = 0;
  }
}

scope.registerProcessor('moshi-recorder', RecorderProcessor);
