import type { SamplingName } from './state/settings';

/** What went wrong, for the visitor: what it is, and what to do. */
export interface Trouble {
  readonly code: string;
  readonly title: string;
  readonly text: string;
}

/** Part of a link as it can be shown: what is not to be seen, or turns the text around it, is no part of any address. */
const shown = (part: string) => `\u2068${part.slice(0, 60).replace(/\p{C}/gu, '\ufffd')}\u2069`;

export const publishedServer = {
  unreadable: (worker: string) =>
    `worker_addr=${shown(worker)} is no address, so this is this page’s own server. Write it as host:port.`,
  scheme: (worker: string) =>
    `worker_addr=${shown(worker)} is not the address of a server, so this is this page’s own. Write it as host:port.`,
  password: () => 'worker_addr holds a password, which does not belong into a link, so this is this page’s own server.',
  insecure: (host: string) =>
    `Browsers do not let a page of https talk with ws://${host}, so this is this page’s own server. Open the page over http, or give ${host} a certificate.`,
};

/** Titles of what can go wrong; the text below comes from whoever noticed it. */
const titles: Readonly<Record<string, string>> = {
  'permission-denied': 'The microphone was refused',
  'no-device': 'There is no microphone',
  'device-busy': 'The microphone is in use elsewhere',
  'device-lost': 'The device went away',
  'insecure-page': 'This address may not use a microphone',
  unreachable: 'The server does not answer',
  refused: 'The server refused the connection',
  'handshake-timeout': 'The server did not get ready in time',
  server: 'The server ended the conversation',
  closed: 'The connection was lost',
  silent: 'The server stopped answering',
  unsupported: 'This browser cannot do that',
  codec: 'The sound could not be encoded',
};

/** What to do about a microphone that did not open. */
const cures: Readonly<Record<string, string>> = {
  'permission-denied':
    'Allow it at the left end of the address bar, then press Talk again. Or go on without: type, and Moshi speaks.',
  'no-device': 'Plug one in and press Talk again. Or go on without: type, and Moshi speaks.',
  'device-busy': 'Close the other program that uses it and press Talk again, or choose another one under Sound.',
  'insecure-page':
    'Browsers give a microphone to https and to localhost only. Open this page under https, or through a tunnel to localhost.',
};

/** Of any error, the SDK's and the browser's; undefined for what the visitor did himself. */
export function troubleOf(error: unknown): Trouble | undefined {
  const {
    code: own,
    name = '',
    message = String(error),
  } = (error ?? {}) as {
    code?: unknown;
    name?: string;
    message?: string;
  };
  const code = typeof own === 'string' ? own : (browserCodes[name] ?? 'unknown');
  if (code === 'aborted') return undefined;
  const text = cures[code] ?? message.charAt(0).toUpperCase() + message.slice(1);
  return { code, title: titles[code] ?? 'Something went wrong', text };
}

/** Whether going on without a microphone is a way out. */
export function canGoOnTyping({ code }: Trouble): boolean {
  return code in cures || code === 'device-lost';
}

/** The names of what `getUserMedia` rejects with. */
const browserCodes: Readonly<Record<string, string>> = {
  NotAllowedError: 'permission-denied',
  SecurityError: 'permission-denied',
  NotFoundError: 'no-device',
  OverconstrainedError: 'no-device',
  NotReadableError: 'device-busy',
  AbortError: 'device-busy',
};

export const newConversation: Readonly<Record<string, string>> = {
  'not-offered': 'This server does not keep conversations, so Moshi remembers nothing of the one before.',
  unknown: 'The server was started anew, so Moshi remembers nothing of the conversation before.',
  expired: 'You were away too long, so Moshi remembers nothing of the conversation before.',
  gap: 'Too much was missed to catch up, so Moshi remembers nothing of the conversation before.',
};

/** Roles to begin with. The first is what the official page of PersonaPlex sends. */
export const roles: readonly { readonly name: string; readonly prompt: string }[] = [
  {
    name: 'Teacher',
    prompt: 'You are a wise and friendly teacher. Answer questions or provide advice in a clear and engaging way.',
  },
  { name: 'Companion', prompt: 'You enjoy having a good conversation.' },
  {
    name: 'Help desk',
    prompt:
      'You work for Harbour Bikes, a shop that rents bicycles, and your name is Robin. Information: A city bike costs 9 dollars a day, an electric one 24 dollars. Helmets are free. Opening hours are 8 am to 7 pm. Ask for the name and the phone number before you take a booking.',
  },
  {
    name: 'Astronaut',
    prompt:
      'You enjoy having a good conversation. Your name is Alex, and you are an astronaut on the way to Mars. You talk about life on board, the view of the stars, and how you keep the ship running.',
  },
];

export const sampling: Readonly<Record<SamplingName, { readonly label: string; readonly hint: string }>> = {
  textTemperature: { label: 'Text temperature', hint: 'Higher: more surprising words.' },
  textTopK: { label: 'Text choices', hint: 'How many words are considered each time.' },
  audioTemperature: { label: 'Voice temperature', hint: 'Higher: a livelier, less even voice.' },
  audioTopK: { label: 'Voice choices', hint: 'How many sounds are considered each time.' },
  padMult: { label: 'Patience', hint: 'Lower: talks more. Higher: listens more.' },
  repetitionPenalty: { label: 'Repetition penalty', hint: 'Higher: repeats itself less.' },
  repetitionPenaltyContext: { label: 'Repetition memory', hint: 'How many words back it looks for repetitions.' },
};

/** The published voices have names like NATF2: natural or varied, a woman's or a man's. */
export function voiceGroup(name: string): string {
  const [, kind, sex] = /^(NAT|VAR)([FM])\d/.exec(name) ?? [];
  if (!kind) return 'Voices of this server';
  return `${kind === 'NAT' ? 'Natural' : 'Varied'}, ${sex === 'F' ? 'female' : 'male'}`;
}

/** 1:05 */
export function clockTime(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** 0.4 s */
export function inSeconds(ms: number): string {
  return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
}
