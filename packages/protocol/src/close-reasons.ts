import type { DialectName } from './dialects';

/** What was known of the connection when it closed. */
export interface CloseContext {
  /** The server family spoken with. */
  dialect: DialectName;
  /** The handshake had come. */
  ready: boolean;
  /** Milliseconds from the socket's opening to its close; 0 when it never opened. */
  msSinceOpen: number;
}

/** A close in words. */
export interface CloseDescription {
  /** One line: what happened and what to do about it. */
  message: string;
  /** The same connection may succeed when tried again; it is a new conversation on every stock server. */
  retryable: boolean;
}

const EARLY_MS = 1000;
/** moshi-backend and moshi-server stop answering after 4500 (4096) steps and close at the next input. */
const SESSION_LIMIT_MS = 320_000;

/**
 * Explains a WebSocket close: stock servers say nothing but 1006 for most failures, so the likely cause is read from
 * the dialect and the moment. `reason` is the peer's own words and is quoted, cut to one line.
 */
export function describeClose(code: number, reason: string, context: CloseContext): CloseDescription {
  const description = describeCode(code, context);
  const said = oneLine(reason);
  return said ? { ...description, message: `${description.message} The server said: "${said}".` } : description;
}

function describeCode(code: number, context: CloseContext): CloseDescription {
  switch (code) {
    case 1000:
      return describeNormal(context);
    case 1001:
      return retry('The server is going away (1001); connect again in a moment.');
    case 1002:
    case 1003:
    case 1007:
      return stop(`The server did not understand what it was sent (${code}); check the dialect.`);
    case 1005:
      return retry('The server closed the session without a code (1005).');
    case 1006:
      return describeDrop(context);
    case 1008:
      return stop('The server refused the session by its rules (1008); change what its reason names.');
    case 1009:
      return stop('A message was too big for the server (1009); send less than 4 MiB of audio at a time.');
    case 1011:
      return retry('The server failed (1011); its log says why. Connect again, and look there if it happens again.');
    case 1012:
      return retry('The server is restarting (1012); connect again in a moment.');
    case 1013:
      return retry('The server is full (1013); connect again later.');
    case 1015:
      return stop('The TLS connection failed (1015); check the certificate, or use ws:// if the server has no TLS.');
    default:
      return stop(`The connection closed with code ${code}.`);
  }
}

function describeNormal({ dialect, ready }: CloseContext): CloseDescription {
  if (!ready) return stop('The server closed the connection (1000) before it was ready; try another server address.');
  if (dialect === 'personaplex') {
    return stop(
      'The server ended the session (1000). PersonaPlex also does so when it cannot read the audio stream: ' +
        'send the Ogg headers once, after the handshake.',
    );
  }
  return stop('The server ended the session (1000).');
}

function describeDrop(context: CloseContext): CloseDescription {
  return context.ready ? describeDropInSession(context) : describeDropBeforeReady(context);
}

function describeDropBeforeReady({ dialect, msSinceOpen }: CloseContext): CloseDescription {
  const early = msSinceOpen < EARLY_MS;
  if (dialect === 'personaplex') {
    return early
      ? stop(
          'PersonaPlex dropped the connection at once (1006): most likely the voice does not exist on the server or the ' +
            'text prompt is empty. Use one of its voices, NATF0.pt for instance, and a prompt.',
        )
      : retry(
          'PersonaPlex dropped the connection while it read the prompts (1006): most likely the text prompt is empty, ' +
            'or the server failed; its log says why.',
        );
  }
  if (dialect === 'moshi-rust') {
    return retry(
      'moshi-backend dropped the connection before it was ready (1006): check that the address is wss://, that its ' +
        'self-signed certificate is trusted, and that every query parameter has a value of the right type.',
    );
  }
  if (dialect === 'moshi-server') {
    return retry(
      'moshi-server dropped the connection before it was ready (1006): check the path, the key (401) and whether the ' +
        'server is overloaded.',
    );
  }
  return early
    ? retry('The connection failed (1006): check that the server runs at this address and port, and ws:// or wss://.')
    : retry('The connection was lost while waiting for the server (1006); it may have stopped. Connect again.');
}

function describeDropInSession({ dialect, msSinceOpen }: CloseContext): CloseDescription {
  if ((dialect === 'moshi-rust' || dialect === 'moshi-server') && msSinceOpen >= SESSION_LIMIT_MS) {
    return retry('The session reached the length this server allows, about 6 minutes (1006); connect again.');
  }
  if (dialect === 'moshi') {
    return retry(
      'The connection was lost (1006): the network or the server failed, or more than 5 s of audio was sent at once.',
    );
  }
  return retry('The connection was lost (1006): the network or the server failed. Connect again.');
}

function retry(message: string): CloseDescription {
  return { message, retryable: true };
}

function stop(message: string): CloseDescription {
  return { message, retryable: false };
}

// A close reason is at most 123 bytes by the standard; a peer's text must not break a log line.
function oneLine(reason: string): string {
  return reason
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim()
    .slice(0, 123);
}
