/** What a worklet has of its world; declared here, as a page's globals are others. */
interface WorkletScope {
  readonly AudioWorkletProcessor: new () => { readonly port: MessagePort };
  /** Samples of the context before the block under way. */
  readonly currentFrame: number;
  readonly sampleRate: number;
  registerProcessor(name: string, processor: new (options: never) => { process(...args: never[]): boolean }): void;
}

export const scope = globalThis as unknown as WorkletScope;

/** Channels of each input or output of one block. */
export type Channels = readonly (readonly Float32Array[])[];
