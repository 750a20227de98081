export type { ChatParameters, ControlAction, DialectName, Message } from '@moshi/protocol';
export type {
  AudioPlatform,
  InputOptions,
  InputPort,
  InputSink,
  OutputOptions,
  OutputPort,
  OutputSink,
  OutputStatus,
} from './audio/platform';
export { SoundMeter } from './audio/sound-meter';
export type {
  AudioContextLike,
  AudioDevice,
  AudioNodeLike,
  AudioOptions,
  CaptureMetrics,
  DeviceList,
  HeardWord,
  MediaStreamLike,
  Microphone,
  MicrophoneEvents,
  MicrophoneOptions,
  MicrophoneState,
  PlaybackClock,
  Recording,
  RecordOptions,
  Speaker,
  SpeakerEvents,
  SpeakerOptions,
  SpeakerState,
} from './audio/types';
export type { CodecFactory, PacketEncoder, PacketSink, SoundDecoder } from './codec/types';
export { connect } from './connect';
export { connectStream, type StreamEvent, type StreamOptions } from './connect-stream';
export type { NetworkListener, NetworkMonitor } from './connection/network';
export {
  defaultReconnectPolicy,
  type ReconnectContext,
  type ReconnectOptions,
  type ReconnectPolicy,
} from './connection/policy';
export { MoshiError, type MoshiErrorCode } from './errors';
export type {
  AudioEvent,
  BehindEvent,
  ClosedEvent,
  DroppedEvent,
  NewConversationEvent,
  PacketsEvent,
  ReconnectingEvent,
  ResumedEvent,
  SayEndEvent,
  SayStartEvent,
  SayWordEvent,
  SessionEvents,
  SessionListeners,
  TextEvent,
  WaitingEvent,
} from './events';
export { listDevices } from './list-devices';
export type { SessionMetrics } from './metrics';
export type { ConnectOptions, OpusOptions } from './options';
export type { NodeSocketOptions, WebSocketConstructor, WebSocketLike } from './platform/types';
export { PlayoutBuffer } from './playout/playout-buffer';
export type { PlayoutOptions, PlayoutStatus } from './playout/types';
export type {
  RemoteEngine,
  RemoteEngineErrorCode,
  RemoteEngineInfo,
  RemoteEngineSession,
  RemoteFrame,
  RemoteSayEvent,
  RemoteSessionOptions,
} from './remote/engine';
export { RemoteEngineError } from './remote/engine';
export { type RemoteEngineOptions, remoteEngine } from './remote/remote-engine';
export type { Session } from './session';
export type { SayOptions, SayResult } from './speech';
export type { SessionState } from './state';
export type { Transport, TransportClose, TransportHandlers } from './transport';
export { type ListVoicesOptions, listVoices, publishedVoices, type Voice } from './voices';
export { WebSocketTransport } from './websocket-transport';
