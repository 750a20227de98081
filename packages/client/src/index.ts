export type { ChatParameters, ControlAction, DialectName, Message } from '@moshi/protocol';
export { connect } from './connect';
export { connectStream, type StreamEvent, type StreamOptions } from './connect-stream';
export { MoshiError, type MoshiErrorCode } from './errors';
export type {
  AudioEvent,
  ClosedEvent,
  DroppedEvent,
  SessionEvents,
  SessionListeners,
  TextEvent,
  WaitingEvent,
} from './events';
export type { SessionMetrics } from './metrics';
export type { ConnectOptions, OpusOptions } from './options';
export type { NodeSocketOptions, WebSocketConstructor, WebSocketLike } from './platform';
export type { Session } from './session';
export type { SessionState } from './state';
export type { Transport, TransportClose, TransportHandlers } from './transport';
export { WebSocketTransport } from './websocket-transport';
