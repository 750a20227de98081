/**
 * For tests of programs that talk: a server in memory that does what a test tells it, devices on a clock that the test turns,
 * sound to talk with, and a way to compare what was heard.
 *
 * @packageDocumentation
 */
export { type FakeAudio, type FakeAudioOptions, fakeAudio } from './fake-audio';
export { type ResumingServer, resumingServer } from './resuming-server';
export { scriptedServer } from './scripted-server';
export { compareEnvelopes, type EnvelopeComparison, speechLike, tone } from './sound';
export { moshiRustMetadata, stockPieces, stockServers } from './stock-servers';
export type {
  PeerConnection,
  PeerLink,
  Play,
  ScriptedPeer,
  ScriptedServer,
  ScriptedServerOptions,
  ServerScript,
} from './types';
