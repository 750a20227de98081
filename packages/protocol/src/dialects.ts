/** The server families: `moshi` Kyutai's Python and MLX servers and @moshi/server, `moshi-rust` Kyutai's
 * moshi-backend, `personaplex` NVIDIA's server, `moshi-server` the Lm module of Kyutai's moshi-server. */
export type DialectName = 'moshi' | 'moshi-rust' | 'personaplex' | 'moshi-server';

/** Names of query parameters as they stand in the URL. */
export type ChatQueryName =
  | 'text_temperature'
  | 'text_topk'
  | 'audio_temperature'
  | 'audio_topk'
  | 'text_seed'
  | 'audio_seed'
  | 'seed'
  | 'pad_mult'
  | 'repetition_penalty'
  | 'repetition_penalty_context'
  | 'max_steps'
  | 'voice_prompt'
  | 'text_prompt'
  | 'no_voice'
  | 'say_only'
  | 'email'
  | 'worker_auth_id'
  | 'extensions';

/** How one server family differs from the others on `/api/chat`. */
export interface Dialect {
  /** Its name here. */
  readonly name: DialectName;
  /** WebSocket path; moshi-server takes its own from its configuration, this is the usual one. */
  readonly path: string;
  /** TCP port when the address has none. */
  readonly defaultPort: number;
  /** wss rather than ws when the address does not say. */
  readonly secure: boolean;
  /** Length of its handshake message: 1, or 9 with versions. Readers accept any. */
  readonly handshakeBytes: 1 | 9;
  /** Sends metadata (0x04) before the handshake. */
  readonly sendsMetadata: boolean;
  /** Query parameters that may be sent: each is used, or known to be ignored, by the servers of this family. */
  readonly query: readonly ChatQueryName[];
  /** Without these the server drops the connection. */
  readonly requires: readonly ChatQueryName[];
  /** With these the server drops the connection. */
  readonly forbids: readonly ChatQueryName[];
  /** What happens to audio sent before the handshake: `kept` it becomes lasting latency, `lost` with its headers. */
  readonly audioBeforeHandshake: 'kept' | 'lost';
  /** Milliseconds to wait for the handshake: a server may be busy with another caller, or reading prompts. */
  readonly defaultHandshakeTimeoutMs: number;
  /** Ignores message types it does not know; the others end the session. */
  readonly toleratesUnknownTypes: boolean;
}

const sampling = [
  'text_temperature',
  'text_topk',
  'audio_temperature',
  'audio_topk',
  'text_seed',
  'audio_seed',
  'pad_mult',
  'repetition_penalty',
  'repetition_penalty_context',
] as const satisfies readonly ChatQueryName[];

/** The server families by name. */
export const dialects: Readonly<Record<DialectName, Dialect>> = {
  moshi: {
    name: 'moshi',
    path: '/api/chat',
    defaultPort: 8998,
    secure: false,
    handshakeBytes: 1,
    sendsMetadata: false,
    // Kyutai's Python servers ignore every parameter; @moshi/server, which speaks this dialect, reads them all.
    query: [
      ...sampling,
      'seed',
      'max_steps',
      'voice_prompt',
      'text_prompt',
      'say_only',
      'email',
      'worker_auth_id',
      'extensions',
    ],
    requires: [],
    forbids: [],
    audioBeforeHandshake: 'kept',
    // A second caller waits without a sign until the first one leaves.
    defaultHandshakeTimeoutMs: 120_000,
    toleratesUnknownTypes: true,
  },
  'moshi-rust': {
    name: 'moshi-rust',
    path: '/api/chat',
    defaultPort: 8998,
    secure: true,
    handshakeBytes: 9,
    sendsMetadata: true,
    query: [...sampling, 'max_steps', 'say_only', 'email', 'worker_auth_id', 'extensions'],
    requires: [],
    forbids: [],
    audioBeforeHandshake: 'kept',
    defaultHandshakeTimeoutMs: 30_000,
    toleratesUnknownTypes: false,
  },
  personaplex: {
    name: 'personaplex',
    path: '/api/chat',
    defaultPort: 8998,
    secure: false,
    handshakeBytes: 1,
    sendsMetadata: false,
    query: [
      ...sampling,
      'voice_prompt',
      'text_prompt',
      'no_voice',
      'say_only',
      'email',
      'worker_auth_id',
      'extensions',
    ],
    requires: ['voice_prompt', 'text_prompt'],
    forbids: ['seed'],
    audioBeforeHandshake: 'lost',
    // Prompts are read first; first runs of 45 to 240 s are reported.
    defaultHandshakeTimeoutMs: 300_000,
    toleratesUnknownTypes: true,
  },
  'moshi-server': {
    name: 'moshi-server',
    path: '/api/chat',
    defaultPort: 8080,
    secure: false,
    handshakeBytes: 9,
    sendsMetadata: false,
    query: [],
    requires: [],
    forbids: [],
    audioBeforeHandshake: 'kept',
    defaultHandshakeTimeoutMs: 30_000,
    toleratesUnknownTypes: false,
  },
};
