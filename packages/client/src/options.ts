import {
  type ChatParameters,
  chatQuery,
  type Dialect,
  type DialectName,
  dialects,
  FRAME_MS,
  SAMPLE_RATE,
} from '@moshi/protocol';
import type { AudioOptions } from './audio/types';
import type { CodecFactory } from './codec/types';
import { browserNetwork, type NetworkMonitor } from './connection/network';
import { defaultReconnectPolicy, type ReconnectOptions, type ReconnectPolicy } from './connection/policy';
import { resolveEndpoint } from './endpoint';
import { MoshiError } from './errors';
import type { SessionListeners } from './events';
import type { NodeSocketOptions, WebSocketConstructor } from './platform/types';
import { type LoadSound, SoundLoader } from './sound-loader';
import type { Transport } from './transport';
import { WebSocketTransport } from './websocket-transport';

/** How the microphone audio is encoded. */
export interface OpusOptions {
  /** Milliseconds in one Opus packet, default 20. */
  readonly frameMs?: 20 | 40;
  /** Packets in one page and so in one message, default 2: 40 ms, what the official web page sends. 1 to 12. */
  readonly packetsPerPage?: number;
  /** Target in bit/s; the encoder's own choice when absent. */
  readonly bitrate?: number;
  /** What the encoder optimises for, default `audio` as the official web page. */
  readonly application?: 'voip' | 'audio';
  /** 0 (fast) to 10 (best). */
  readonly complexity?: number;
}

/** Options of `connect`. The sampling parameters only reach servers whose dialect knows them. */
export interface ConnectOptions extends Omit<ChatParameters, 'extensions'> {
  /**
   * Which server family this is. `auto` (the default) sends what every family takes, and tells them apart by handshake
   * and metadata; `seed` goes out as `textSeed` and `audioSeed` then, because PersonaPlex servers break on it.
   */
  readonly dialect?: DialectName | 'auto';
  /** Ask for the extensions of this project's server (place in line, `say`, `restart` …); stock servers ignore it. Default true. */
  readonly extensions?: boolean;
  /**
   * How long the server may be silent before it is ready, in ms; every message of it starts the time anew. The default
   * is the dialect's, for `auto` the longest of all, as being in line and prompting may take minutes; 0 is never.
   */
  readonly handshakeTimeoutMs?: number;
  /** Error `silent` when audio was sent and nothing came back for this long, in ms; default 10 000, 0 is never. */
  readonly idleTimeoutMs?: number;
  /** Microphone audio kept while the network does not take it, in ms; beyond it the oldest is dropped. Default 2000. */
  readonly maxBufferedMs?: number;
  /** Gives up while connecting; closes the session afterwards. */
  readonly signal?: AbortSignal;
  /** Listeners attached before the connection opens, the way to see `state` and `waiting` of the time before ready. */
  readonly on?: SessionListeners;
  /** HTTP headers of the upgrade request. Node and Cloudflare's workers only. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Accept any TLS certificate, for servers with a self-signed one. Node only. */
  readonly insecure?: boolean;
  /** Replaces the WebSocket class. */
  readonly webSocket?: WebSocketConstructor;
  /**
   * Replaces the whole connection; `headers`, `insecure` and `webSocket` are then its own business. A function is asked
   * once for every connection; a single transport serves one, so nothing reconnects then.
   */
  readonly transport?: Transport | (() => Transport);
  /**
   * How to come back after the connection was lost: a policy, changes to {@link defaultReconnectPolicy} (the default, as is true), or
   * false for never, as in `connectStream` and `remoteEngine`. The first connection is never tried again.
   */
  readonly reconnect?: ReconnectPolicy | ReconnectOptions | boolean;
  /** Tells whether there is a network: without one nothing is tried. Default: the browser's own word, elsewhere none. */
  readonly network?: NetworkMonitor;
  readonly opus?: OpusOptions;
  /**
   * Makes encoders and decoders. Default: WebAssembly, loaded when the session opens. False: none, for runtimes that have
   * none and for sound that is Opus already; it goes out by `sendPackets` and comes in by event `packets`.
   */
  readonly codecs?: CodecFactory | false;
  /** What microphone, speaker and recorder run on, and how. */
  readonly audio?: AudioOptions;
}

/** `ConnectOptions` checked and completed. */
export interface ResolvedOptions {
  readonly url: URL;
  readonly dialect: DialectName | 'auto';
  /** The caller named a voice or a prompt, which stock servers other than PersonaPlex do not know. */
  readonly persona: boolean;
  readonly handshakeTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxBufferedMs: number;
  readonly signal?: AbortSignal;
  readonly on: SessionListeners;
  readonly transport: () => Transport;
  readonly reconnect?: ReconnectPolicy;
  readonly network?: NetworkMonitor;
  readonly codecs?: CodecFactory | false;
  readonly sound: SoundLoader;
  readonly opus: OpusOptions & Required<Pick<OpusOptions, 'frameMs' | 'packetsPerPage'>>;
  readonly audio: AudioOptions;
  /** Samples of one page of microphone audio. */
  readonly pageSamples: number;
}

/** Checks everything that can be checked before connecting; throws {@link MoshiError} `bad-option`. */
export function resolveOptions(
  address: string | URL,
  options: ConnectOptions,
  sound = new SoundLoader(noSound),
): ResolvedOptions {
  const dialect = options.dialect ?? 'auto';
  const known = knownDialect(dialect);
  const url = resolveEndpoint(address, known);
  for (const [name, value] of queryOf(dialect, options)) url.searchParams.set(name, value);
  const longest = Math.max(...Object.values(dialects).map((each) => each.defaultHandshakeTimeoutMs));
  const opus = {
    application: 'audio' as const,
    ...options.opus,
    frameMs: options.opus?.frameMs ?? 20,
    packetsPerPage: options.opus?.packetsPerPage ?? 2,
  };
  if (opus.frameMs !== 20 && opus.frameMs !== 40) throw bad(`opus.frameMs must be 20 or 40, not ${opus.frameMs}`);
  if (!Number.isInteger(opus.packetsPerPage) || opus.packetsPerPage < 1 || opus.packetsPerPage > 12) {
    throw bad(`opus.packetsPerPage must be a whole number from 1 to 12, not ${opus.packetsPerPage}`);
  }
  return {
    url,
    dialect,
    persona: wantsPersona(options),
    handshakeTimeoutMs: duration(
      'handshakeTimeoutMs',
      options.handshakeTimeoutMs,
      dialect === 'auto' ? longest : known.defaultHandshakeTimeoutMs,
    ),
    idleTimeoutMs: duration('idleTimeoutMs', options.idleTimeoutMs, 10_000),
    maxBufferedMs: Math.max(FRAME_MS, duration('maxBufferedMs', options.maxBufferedMs, 2000)),
    signal: options.signal,
    on: options.on ?? {},
    transport: transportOf(options),
    reconnect: reconnectPolicy(options),
    network: options.network ?? browserNetwork(),
    codecs: options.codecs,
    sound,
    opus,
    audio: options.audio ?? {},
    pageSamples: (opus.frameMs / 1000) * SAMPLE_RATE * opus.packetsPerPage,
  };
}

/** The family that an address is made for. Throws {@link MoshiError} `bad-option`. */
export function knownDialect(name: DialectName | 'auto'): Dialect {
  if (name === 'auto') return dialects.moshi;
  if (Object.hasOwn(dialects, name)) return dialects[name];
  throw bad(`dialect '${name}' is none of auto, ${Object.keys(dialects).join(', ')}`);
}

/** Where only an address is looked at, and for callers who forgot what the types ask for. */
const noSound: LoadSound = async () => {
  throw new MoshiError('bad-option', "the core carries no codecs: give it sound: () => import('@moshi/client/sound')");
};

function transportOf(options: ConnectOptions): () => Transport {
  const { transport } = options;
  if (typeof transport === 'function') return transport;
  if (transport) return () => transport;
  return () => new WebSocketTransport(options as NodeSocketOptions & { webSocket?: WebSocketConstructor });
}

function reconnectPolicy({ reconnect, transport }: ConnectOptions): ReconnectPolicy | undefined {
  if (reconnect === false || (transport && typeof transport !== 'function')) return undefined;
  const policy = reconnect === true ? {} : reconnect;
  return policy && 'nextDelayMs' in policy ? policy : defaultReconnectPolicy(policy);
}

/** For `auto` the union of what the dialects send, without what any of them breaks on. */
function queryOf(dialect: DialectName | 'auto', options: ConnectOptions): URLSearchParams {
  // As two seeds, which every family with seeds knows; PersonaPlex breaks on the single one.
  const { seed, textSeed = seed, audioSeed = seed, ...others } = options;
  const parameters: ChatParameters = { ...others, textSeed, audioSeed, extensions: options.extensions ?? true };
  try {
    if (dialect !== 'auto') return chatQuery(dialects[dialect], parameters);
    const query = new URLSearchParams();
    for (const each of Object.values(dialects)) {
      // PersonaPlex fills in voice and prompt; nobody else should get them unasked.
      if (each.name === 'personaplex' && !wantsPersona(options)) continue;
      for (const [name, value] of chatQuery(each, parameters)) query.set(name, value);
    }
    return query;
  } catch (cause) {
    throw new MoshiError('bad-option', cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function wantsPersona({ voice, prompt }: ConnectOptions): boolean {
  return voice !== undefined || prompt !== undefined;
}

function duration(name: string, value: number | undefined, byDefault: number): number {
  if (value === undefined) return byDefault;
  if (typeof value === 'number' && value >= 0) return value;
  throw bad(`${name} must be a number of milliseconds, not ${String(value)}`);
}

function bad(message: string): MoshiError {
  return new MoshiError('bad-option', message);
}
