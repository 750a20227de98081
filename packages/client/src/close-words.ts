import { type CloseDescription, describeClose } from '@moshi/protocol';
import { MoshiError } from './errors';
import type { ConnectionEnd } from './explain';
import type { RefusedUpgrade } from './platform/types';

/** What is said of a connection that ended, with its likely cause and cure. */
export interface CloseWords {
  closed(code: number, reason: string, context: ConnectionEnd): CloseDescription;
  refused(refused: RefusedUpgrade, url: string): MoshiError;
  /** `error`: what the WebSocket said, if anything. */
  unreachable(url: string, error: Error | undefined): MoshiError;
}

const PERSONA_HINT =
  " A PersonaPlex server does this to callers without a voice and a prompt: pass dialect: 'personaplex'.";

const RETRYABLE_STATUS = new Set([408, 425, 429, 500, 502, 503, 504]);

const CURES: Record<number, string> = {
  400: 'a query parameter has a value the server does not take',
  401: 'give the key the server asks for',
  403: 'the server does not allow this origin or key',
  404: 'no WebSocket is at this path, check path and dialect',
  426: 'this is not a WebSocket address, check path and dialect',
};

/** All that is known of the servers' ways to end. */
export const closeWords: CloseWords = {
  closed(code, reason, context) {
    const { message, retryable } = describeClose(code, reason, context);
    const hint = code === 1006 && !context.ready && context.personaMissing ? PERSONA_HINT : '';
    return { message: message + hint, retryable };
  },

  refused({ status, text }, url) {
    const detail = text.trimStart().startsWith('<')
      ? ''
      : text.replace(/\s+/g, ' ').trim().slice(0, 200).replace(/\.$/, '');
    const what = [detail, CURES[status]].filter(Boolean).join('; ');
    const message = `${url} refused the connection with HTTP ${status}${what && `: ${what}`}`;
    return new MoshiError('refused', message, { retryable: RETRYABLE_STATUS.has(status) });
  },

  unreachable(url, error) {
    const what = (error as { code?: string } | undefined)?.code ?? error?.message ?? 'no connection';
    const cure = cureUnreachable(what, error?.message ?? '', url);
    return new MoshiError('unreachable', `cannot reach ${url} (${what}): ${cure}`, { retryable: true, cause: error });
  },
};

function cureUnreachable(code: string, message: string, url: string): string {
  if (code === 'ECONNREFUSED') return 'is a server running there?';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'check the host name';
  if (/SELF_SIGNED|UNABLE_TO_VERIFY|CERT_/.test(code))
    return 'its certificate is not trusted; pass insecure: true (moshi: --insecure) if it is yours';
  if (code === 'EPROTO' || /wrong version number/i.test(message))
    return 'it does not speak TLS; use ws:// instead of wss://';
  if (code === 'ECONNRESET' || /socket hang up/i.test(message)) return 'it hung up; if it speaks TLS use wss://';
  return `check host, port and network${cureForPage(url)}`;
}

/** A browser does not tell its page that it was refused, so a page of another address is told what that may be. */
function cureForPage(url: string): string {
  const { location } = globalThis as { location?: { readonly origin: string; readonly host: string } };
  const host = /^wss?:\/\/([^/]+)/.exec(url)?.[1];
  if (!location || !host || host === location.host) return '';
  return `, and whether the server lets pages of ${location.origin} in (its option origins; moshi serve --origin)`;
}
