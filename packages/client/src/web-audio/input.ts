import { insecurePage, mediaError } from '../audio/media-errors';
import type { InputOptions, InputPort, InputSink } from '../audio/platform';
import type { AudioDevice } from '../audio/types';
import { MoshiError } from '../errors';
import type { CaptureCommand, CapturedBlock, CaptureSetup } from '../worklets/messages';
import type { Graph, OpenGraph } from './graph';
import { Meter } from './meter';

/** Opens a microphone, a stream of the caller's, or silence. Rejects with {@link MoshiError}. */
export async function openInput(graph: Graph, options: InputOptions, sink: InputSink): Promise<InputPort> {
  // Before anything is waited for: what follows a click at once, browsers allow.
  const open = graph.hold();
  let stream: MediaStream | undefined;
  try {
    stream = await openStream(options);
    await graph.addWorklet(open.context, 'capture');
    return new WebInput(graph, open, stream, options, sink);
  } catch (cause) {
    if (stream && !options.stream) stopTracks(stream);
    await graph.release();
    throw mediaError(cause, 'microphone', options.deviceId !== undefined);
  }
}

async function openStream(options: InputOptions): Promise<MediaStream | undefined> {
  if (options.source === 'silence') return undefined;
  if (options.stream) return options.stream as MediaStream;
  const { mediaDevices } = globalThis.navigator;
  if (!mediaDevices?.getUserMedia) {
    if (globalThis.isSecureContext === false) throw insecurePage(globalThis.location.origin);
    throw new MoshiError('unsupported', 'this browser gives no microphone to pages: use a current one');
  }
  const { deviceId, echoCancellation = true, noiseSuppression = true, autoGainControl = true } = options;
  return mediaDevices.getUserMedia({
    audio: {
      channelCount: 1,
      echoCancellation,
      noiseSuppression,
      autoGainControl,
      ...(deviceId && { deviceId: { exact: deviceId } }),
    },
  });
}

function stopTracks(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

class WebInput implements InputPort {
  readonly device: AudioDevice | undefined;
  readonly #graph: Graph;
  readonly #open: OpenGraph;
  readonly #sink: InputSink;
  readonly #stream: MediaStream | undefined;
  /** Whether the stream ends with this port. */
  readonly #owned: boolean;
  readonly #source: AudioNode | undefined;
  readonly #node: AudioWorkletNode;
  readonly #meter: Meter;
  #unlisten: (() => void)[] = [];
  #isInterrupted = false;
  #closed = false;

  constructor(graph: Graph, open: OpenGraph, stream: MediaStream | undefined, options: InputOptions, sink: InputSink) {
    const { context } = open;
    this.#graph = graph;
    this.#open = open;
    this.#sink = sink;
    this.#stream = stream;
    this.#owned = options.stream === undefined;
    this.#source = stream && new MediaStreamAudioSourceNode(context, { mediaStream: stream });
    const setup: CaptureSetup = { muted: options.muted };
    this.#node = new AudioWorkletNode(context, 'moshi-capture', {
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: 'explicit',
      processorOptions: setup,
    });
    this.#meter = new Meter(context);
    this.#node.connect(open.user);
    this.#source?.connect(this.#node);
    this.#source?.connect(this.#meter.node);
    this.#node.port.onmessage = ({ data }: MessageEvent<CapturedBlock>) => this.#take(data);
    const track = stream?.getAudioTracks()[0];
    this.device = track && this.#owned ? deviceOf(track, options.deviceId) : undefined;
    if (track) this.#watch(track);
    this.#unlisten.push(open.unlock.onState(() => this.#tellInterrupted(track)));
  }

  get sampleRate(): number {
    return this.#open.context.sampleRate;
  }

  get level(): number {
    return this.#source ? this.#meter.level : 0;
  }

  getByteFrequencyData(bands: Uint8Array): void {
    this.#meter.getByteFrequencyData(bands);
  }

  setMuted(muted: boolean): void {
    this.#command({ muted });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const unlisten of this.#unlisten) unlisten();
    this.#command({ stop: true });
    this.#node.port.onmessage = null;
    this.#source?.disconnect();
    this.#node.disconnect();
    if (this.#stream && this.#owned) stopTracks(this.#stream);
    await this.#graph.release();
  }

  #take({ pcm, frame }: CapturedBlock): void {
    const atMs = Math.min(performance.now(), this.#open.clock.computedAt(frame / this.sampleRate));
    this.#sink.samples(new Float32Array(pcm), atMs);
    this.#command({ free: pcm }, [pcm]);
  }

  #watch(track: MediaStreamTrack): void {
    const onEnded = () => {
      const name = track.label ? `the microphone ${track.label}` : 'the microphone';
      this.#sink.lost(new MoshiError('device-lost', `${name} went away: plug it in again, or choose another one`));
    };
    const onMute = () => this.#tellInterrupted(track);
    track.addEventListener('ended', onEnded);
    track.addEventListener('mute', onMute);
    track.addEventListener('unmute', onMute);
    this.#unlisten.push(() => {
      track.removeEventListener('ended', onEnded);
      track.removeEventListener('mute', onMute);
      track.removeEventListener('unmute', onMute);
    });
    // It may have gone while the worklet was loaded, and tells so only once.
    if (track.readyState === 'ended') onEnded();
  }

  #tellInterrupted(track: MediaStreamTrack | undefined): void {
    const isInterrupted = track?.muted === true || (this.#open.context.state as string) === 'interrupted';
    if (isInterrupted === this.#isInterrupted) return;
    this.#isInterrupted = isInterrupted;
    this.#sink.interrupted(isInterrupted);
  }

  #command(command: CaptureCommand, transfer: Transferable[] = []): void {
    this.#node.port.postMessage(command, transfer);
  }
}

function deviceOf(track: MediaStreamTrack, asked: string | undefined): AudioDevice {
  const id = track.getSettings().deviceId ?? asked ?? '';
  return { id, label: track.label, kind: 'input', isDefault: asked === undefined || asked === 'default' };
}
