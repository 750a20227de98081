import { describeClose } from '@moshi/protocol';

/** What is said of a connection that ended, with its likely cause and cure. */
export interface CloseWords {
  describeClose: typeof describeClose;
  /** What to do about an HTTP status in place of an upgrade; undefined when it says enough. */
  cureRefusal(status: number): string | undefined;
  /** What to do about a server that was not reached, by the code and the message of the error. */
  cureUnreachable(code: string, message: string): string;
}

const REFUSALS: Record<number, string> = {
  400: 'a query parameter has a value the server does not take',
  401: 'give the key the server asks for',
  403: 'the server does not allow this origin or key',
  404: 'this path has no WebSocket: check path and dialect',
  426: 'this is not a WebSocket address: check path and dialect',
};

const cureUnreachable: CloseWords['cureUnreachable'] = (code, message) => {
  if (code === 'ECONNREFUSED') return 'is a server running there?';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'check the host name';
  if (/SELF_SIGNED|UNABLE_TO_VERIFY|CERT_/.test(code))
    return 'its certificate is not trusted; pass insecure: true (moshi: --insecure) if it is yours';
  if (code === 'EPROTO' || /wrong version number/i.test(message))
    return 'it does not speak TLS; use ws:// instead of wss://';
  if (code === 'ECONNRESET' || /socket hang up/i.test(message)) return 'it hung up; if it speaks TLS use wss://';
  return 'check host, port and network';
};

/** All that is known of the servers' ways to end. */
export const closeWords: CloseWords = { describeClose, cureRefusal: (status) => REFUSALS[status], cureUnreachable };
