import { mediaError } from '../audio/media-errors';
import type { OutputOptions, OutputPort, OutputSink } from '../audio/platform';
import type { AudioDevice, AudioNodeLike } from '../audio/types';
import { MoshiError } from '../errors';
import { pause } from '../timer';
import type { PlayoutCommand, PlayoutReport, PlayoutSetup } from '../worklets/messages';
import { findOutput, onDevices } from './devices';
import type { Graph, OpenGraph } from './graph';
import { Meter } from './meter';
import { Sink } from './sink';

/** The volume follows in this time, so that it does not click. */
const VOLUME_SECONDS = 0.015;
/** Sound does not wait for a device's name longer: browsers may tell it only when somebody looks at the page. */
const NAME_MS = 300;

/** Opens the loudspeaker; it may be blocked at first. Rejects with {@link MoshiError}. */
export async function openOutput(graph: Graph, options: OutputOptions, sink: OutputSink): Promise<OutputPort> {
  // Before anything is waited for: what follows a click at once, browsers allow.
  const open = graph.hold();
  let port: WebOutput | undefined;
  try {
    await graph.addWorklet(open.context, 'playout');
    port = new WebOutput(graph, open, options, sink);
    await port.setDevice(options.deviceId);
    sink.state(await open.unlock.settled());
    return port;
  } catch (cause) {
    await (port ? port.close() : graph.release());
    throw mediaError(cause, 'loudspeaker', options.deviceId !== undefined);
  }
}

class WebOutput implements OutputPort {
  readonly #graph: Graph;
  readonly #open: OpenGraph;
  readonly #out: OutputSink;
  readonly #node: AudioWorkletNode;
  readonly #gain: GainNode;
  readonly #meter: Meter;
  readonly #sink: Sink;
  readonly #unlisten: (() => void)[];
  #deviceId: string | undefined;
  #device: AudioDevice | undefined;
  #closed = false;

  constructor(graph: Graph, open: OpenGraph, options: OutputOptions, out: OutputSink) {
    const { context } = open;
    this.#graph = graph;
    this.#open = open;
    this.#out = out;
    const setup: PlayoutSetup = options.playout;
    this.#node = new AudioWorkletNode(context, 'moshi-playout', {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: setup,
    });
    this.#gain = new GainNode(context, { gain: options.volume });
    this.#meter = new Meter(context);
    this.#node.connect(this.#gain).connect(this.#meter.node).connect(open.model);
    this.#sink = new Sink(context, this.#meter.node);
    this.#node.port.onmessage = ({ data }: MessageEvent<PlayoutReport>) => this.#report(data);
    this.#unlisten = [open.unlock.onState((state) => out.state(state)), onDevices(() => void this.#onDevices())];
  }

  get sampleRate(): number {
    return this.#open.context.sampleRate;
  }

  get device(): AudioDevice | undefined {
    return this.#device;
  }

  get node(): AudioNodeLike {
    return this.#meter.node;
  }

  get level(): number {
    return this.#meter.level;
  }

  getByteFrequencyData(bands: Uint8Array): void {
    this.#meter.getByteFrequencyData(bands);
  }

  push(pcm: Float32Array, time: number): void {
    // A context that stands still would save up what nobody is going to hear.
    if (this.#open.context.state !== 'running') return;
    const push = (pcm.buffer.byteLength === pcm.byteLength ? pcm : pcm.slice()).buffer as ArrayBuffer;
    this.#command({ push, time }, [push]);
  }

  clear(): void {
    this.#command({ clear: true });
  }

  setVolume(volume: number): void {
    this.#gain.gain.setTargetAtTime(volume, this.#open.context.currentTime, VOLUME_SECONDS);
  }

  async setDevice(deviceId: string | undefined): Promise<void> {
    await this.#sink.choose(deviceId);
    this.#deviceId = deviceId;
    this.#device = undefined;
    await Promise.race([this.#nameDevice(), pause(NAME_MS)]);
  }

  resume(): Promise<void> {
    return this.#open.unlock.resume();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const unlisten of this.#unlisten) unlisten();
    this.#command({ stop: true });
    this.#node.port.onmessage = null;
    this.#sink.close();
    this.#gain.disconnect();
    this.#node.disconnect();
    await this.#graph.release();
  }

  #report({ status, frame }: PlayoutReport): void {
    this.#out.status({ ...status, atMs: this.#open.clock.heardAt(frame / this.sampleRate) });
  }

  async #nameDevice(): Promise<void> {
    const deviceId = this.#deviceId;
    const device = await findOutput(deviceId);
    if (this.#closed || this.#deviceId !== deviceId) return;
    this.#device = device;
    this.#out.device?.(device);
  }

  /** Browsers tell of no loudspeaker that went: it is no more in their list. */
  async #onDevices(): Promise<void> {
    const id = this.#deviceId;
    if (id === undefined || (await findOutput(id)) || this.#closed || this.#deviceId !== id) return;
    // Browsers tell of one change several times.
    this.#deviceId = undefined;
    const name = this.#device?.label ? `the loudspeaker ${this.#device.label}` : 'the loudspeaker';
    this.#out.lost(new MoshiError('device-lost', `${name} went away: plug it in again, or choose another one`));
  }

  #command(command: PlayoutCommand, transfer: Transferable[] = []): void {
    this.#node.port.postMessage(command, transfer);
  }
}
