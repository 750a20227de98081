import { SAMPLE_RATE } from '@moshi/protocol';
import { pcm16, Resampler, writeWav } from '@moshi/protocol/audio';
import type { Recording, RecordOptions } from '../audio/types';
import { MoshiError } from '../errors';
import type { RecordedBlock, RecorderCommand } from '../worklets/messages';
import type { Graph, OpenGraph } from './graph';

const LAST_BLOCK_MS = 1000;

/** Begins to record both sides. Rejects with {@link MoshiError}. */
export async function record(graph: Graph, options: RecordOptions): Promise<Recording> {
  const { sampleRate = SAMPLE_RATE } = options;
  if (!Number.isInteger(sampleRate) || sampleRate < 8000 || sampleRate > 192_000) {
    throw new MoshiError('bad-option', `sampleRate is ${sampleRate}; it must be 8000 to 192000`);
  }
  const open = graph.hold();
  try {
    await graph.addWorklet(open.context, 'recorder');
    return new WebRecording(graph, open, sampleRate);
  } catch (error) {
    await graph.release();
    throw error;
  }
}

class WebRecording implements Recording {
  readonly #graph: Graph;
  readonly #open: OpenGraph;
  readonly #sampleRate: number;
  readonly #node: AudioWorkletNode;
  readonly #sides: readonly [Resampler, Resampler];
  /** 16 bits, the sides sample by sample. */
  readonly #parts: Uint8Array[] = [];
  #samples = 0;
  #file: Promise<Uint8Array<ArrayBuffer>> | undefined;
  #finish: () => void = () => {};

  constructor(graph: Graph, open: OpenGraph, sampleRate: number) {
    const { context } = open;
    this.#graph = graph;
    this.#open = open;
    this.#sampleRate = sampleRate;
    this.#sides = [new Resampler(context.sampleRate, sampleRate), new Resampler(context.sampleRate, sampleRate)];
    this.#node = new AudioWorkletNode(context, 'moshi-recorder', {
      numberOfInputs: 2,
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: 'explicit',
    });
    open.model.connect(this.#node, 0, 0);
    open.user.connect(this.#node, 0, 1);
    // It gives silence: being connected is what keeps it at work in every browser.
    this.#node.connect(open.context.destination);
    this.#node.port.onmessage = ({ data }: MessageEvent<RecordedBlock>) => this.#take(data);
  }

  get seconds(): number {
    return this.#samples / this.#sampleRate;
  }

  stop(): Promise<Uint8Array<ArrayBuffer>> {
    this.#file ??= this.#close();
    return this.#file;
  }

  async #close(): Promise<Uint8Array<ArrayBuffer>> {
    const finished = new Promise<void>((resolve) => {
      this.#finish = resolve;
    });
    this.#node.port.postMessage({ stop: true } satisfies RecorderCommand);
    // A context that was closed meanwhile gives nothing more.
    await Promise.race([finished, new Promise((resolve) => setTimeout(resolve, LAST_BLOCK_MS))]);
    this.#open.model.disconnect(this.#node);
    this.#open.user.disconnect(this.#node);
    this.#node.disconnect();
    await this.#graph.release();
    return this.#assemble();
  }

  #take({ model, user, last }: RecordedBlock): void {
    const [left, right] = [model, user].map((side, i) => this.#sides[i]!.push(new Float32Array(side)));
    this.#add(left!, right!);
    if (!last) return;
    this.#add(this.#sides[0].flush(), this.#sides[1].flush());
    this.#finish();
  }

  #add(left: Float32Array, right: Float32Array): void {
    const both = new Float32Array(2 * left.length);
    for (let i = 0; i < left.length; i++) {
      both[2 * i] = left[i]!;
      both[2 * i + 1] = right[i]!;
    }
    this.#parts.push(pcm16.encode(both));
    this.#samples += left.length;
  }

  #assemble(): Uint8Array<ArrayBuffer> {
    const nothing = new Float32Array(0);
    const header = writeWav([nothing, nothing], { sampleRate: this.#sampleRate });
    const file = new Uint8Array(header.length + 4 * this.#samples);
    file.set(header);
    let at = header.length;
    for (const part of this.#parts.splice(0)) {
      file.set(part, at);
      at += part.length;
    }
    const view = new DataView(file.buffer);
    view.setUint32(4, file.length - 8, true);
    view.setUint32(header.length - 4, file.length - header.length, true);
    return file;
  }
}
