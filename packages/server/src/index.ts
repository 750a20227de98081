/**
 * A Moshi-compatible speech server for any engine: `createServer({ engine })`.
 *
 * @packageDocumentation
 */
export type {
  Engine,
  EngineFrame,
  EngineInfo,
  EngineSayEvent,
  EngineSession,
  EngineSessionOptions,
  EngineVoice,
  SamplingOptions,
  SayOptions,
} from './engine';
export { ServerError, type ServerErrorCode } from './errors';
export type { Readiness } from './http/routes';
export type { Logger } from './logger';
export { type LoopbackOptions, loopbackEngine } from './loopback';
export { defaultLimits, type ServerLimits, type ServerOptions, type TlsFiles } from './options';
export { createServer, type Server, type ServerEvents } from './server';
export type { Hooked, SessionPipe } from './session/pipe';
export type { ServerSession, ServerSessionEvents, SessionEnd } from './session/server-session';
export type { SayNoticeEvent, SayResult } from './session/speech';
export type { SessionState, SessionStats } from './session/state';
export { version } from './version';
