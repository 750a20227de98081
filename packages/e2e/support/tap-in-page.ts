/** A piece of what one AudioContext of a page took in and gave out. */
export interface TapBlock {
  /** Which context, from 0. */
  readonly context: number;
  readonly sampleRate: number;
  /** Frames of this context before it. */
  readonly frame: number;
  /** `performance.now()` when it came. */
  readonly atMs: number;
  /** Samples, 16 bits each, in base64. */
  readonly captured: string;
  readonly heard: string;
}

/** Of Chromium, and not yet in TypeScript's DOM. */
declare const MediaStreamTrackProcessor: new (init: {
  track: MediaStreamTrack;
  maxBufferSize: number;
}) => { readonly readable: ReadableStream<AudioData> };

/** Runs in the page before its scripts, and so refers to nothing outside of itself. */
export function installTap(): void {
  type Send = (block: TapBlock) => Promise<void>;
  const send = (block: TapBlock) => (globalThis as unknown as { moshiTapBlock: Send }).moshiTapBlock(block);
  const CAPTURED = 0;
  const HEARD = 1;
  const { connect, disconnect } = AudioNode.prototype;
  const join = connect as (this: AudioNode, to: AudioNode, output?: number, input?: number) => void;
  const part = disconnect as (this: AudioNode, from: AudioNode) => void;
  const hasProcessor = typeof MediaStreamTrackProcessor === 'function';
  const taps = new Map<BaseAudioContext, AudioNode>();
  const tapped = new Set<AudioNode>();

  const base64 = (pcm: Int16Array) => btoa(String.fromCharCode(...new Uint8Array(pcm.buffer)));

  const tell = (context: number, sampleRate: number, frame: number, sides: readonly Float32Array[]) => {
    const [captured, heard] = sides.map((pcm) =>
      base64(Int16Array.from(pcm, (s) => Math.max(-1, Math.min(1, s)) * 0x7fff)),
    );
    void send({ context, sampleRate, frame, atMs: performance.now(), captured: captured!, heard: heard! });
  };

  const openTap = (context: AudioContext, number: number): AudioNode => {
    const merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
    if (hasProcessor) void read(merger, context, number);
    else void listenByWorklet(merger, context, number);
    return merger;
  };

  /** Both sides as one stereo track: needs no worklet, which a page's policy may forbid, and holds what the page is too busy to take. */
  const read = async (merger: AudioNode, context: AudioContext, number: number) => {
    const out = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
    join.call(merger, out);
    const { readable } = new MediaStreamTrackProcessor({
      track: out.stream.getAudioTracks()[0]!,
      maxBufferSize: 10_000,
    });
    const reader = readable.getReader();
    let frame = 0;
    let filled = 0;
    const block = [new Float32Array(8192), new Float32Array(8192)];
    for (;;) {
      const { value: data } = await reader.read();
      if (!data) return;
      const { numberOfFrames, sampleRate } = data;
      for (const [side, pcm] of block.entries()) {
        data.copyTo(pcm.subarray(filled), { planeIndex: side, format: 'f32-planar' });
      }
      data.close();
      filled += numberOfFrames;
      if (filled < 2048) continue;
      tell(
        number,
        sampleRate,
        frame,
        block.map((pcm) => pcm.subarray(0, filled)),
      );
      frame += filled;
      filled = 0;
    }
  };

  /** Elsewhere: what the page is too busy to take waits in the port. The page's server has the file. */
  const listenByWorklet = async (merger: AudioNode, context: AudioContext, number: number) => {
    await context.audioWorklet.addModule('/ear.js');
    const ear = new AudioWorkletNode(context, 'moshi-ear', { channelCount: 2, channelCountMode: 'explicit' });
    ear.port.onmessage = ({ data: { frame, sides } }) => tell(number, context.sampleRate, frame, sides);
    join.call(merger, ear);
    // It gives silence: being connected keeps it at work.
    join.call(ear, context.destination);
  };

  const listen = (node: AudioNode, input: number) => {
    const { context } = node;
    if (!(context instanceof AudioContext) || tapped.has(node)) return;
    const merger = taps.get(context) ?? openTap(context, taps.size);
    taps.set(context, merger);
    tapped.add(node);
    join.call(node, merger, 0, input);
  };

  const connecting = function (this: AudioNode, ...args: never[]) {
    const [to] = args as unknown as [AudioNode | AudioParam];
    if (this instanceof MediaStreamAudioSourceNode) listen(this, CAPTURED);
    else if (to instanceof AudioDestinationNode) listen(this, HEARD);
    return (connect as (...args: never[]) => AudioNode).apply(this, args);
  };
  const disconnecting = function (this: AudioNode, ...args: never[]) {
    const [from] = args as unknown as [AudioNode | AudioParam | undefined];
    // Without arguments every connection ends, the tap's too; else only what led to the loudspeaker.
    if (from === undefined) tapped.delete(this);
    else if (from instanceof AudioDestinationNode && tapped.delete(this)) {
      part.call(this, taps.get(this.context)!);
    }
    return (disconnect as (...args: never[]) => void).apply(this, args);
  };
  AudioNode.prototype.connect = connecting as typeof connect;
  AudioNode.prototype.disconnect = disconnecting as typeof disconnect;
}
