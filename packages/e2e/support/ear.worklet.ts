/** What passes one node in the audio thread of a page, both channels, for the tap of browsers that read no tracks. */
import { type Channels, scope } from '../../client/src/worklets/scope';

const BLOCK = 2048;

class Ear extends scope.AudioWorkletProcessor {
  #sides = [new Float32Array(BLOCK), new Float32Array(BLOCK)];
  #filled = 0;

  process(inputs: Channels, outputs: Channels): boolean {
    const { length } = outputs[0]![0]!;
    for (const [side, pcm] of this.#sides.entries()) {
      const input = inputs[0]?.[side];
      // Where nothing comes it is silent, and the time goes on.
      if (input) pcm.set(input, this.#filled);
    }
    this.#filled += length;
    if (this.#filled < BLOCK) return true;
    this.port.postMessage({ frame: scope.currentFrame + length - BLOCK, sides: this.#sides });
    this.#sides = [new Float32Array(BLOCK), new Float32Array(BLOCK)];
    this.#filled = 0;
    return true;
  }
}

scope.registerProcessor('moshi-ear', Ear);
