// Browsers, Deno, Bun: the global WebSocket, which tells little and takes no options.
import { MoshiError } from '../errors';
import type { Platform } from './types';

export const openWebSocket: Platform['openWebSocket'] = (url, injected, { headers, insecure } = {}) => {
  const Socket = injected ?? globalThis.WebSocket;
  if (!Socket) throw new MoshiError('unsupported', 'no WebSocket here: pass one as the option webSocket');
  if (headers === undefined && !insecure) return new Socket(url);
  if (injected === undefined) {
    throw new MoshiError(
      'unsupported',
      'a browser cannot send headers or accept bad certificates: leave out headers and insecure',
    );
  }
  const options = { ...(headers && { headers }), ...(insecure && { rejectUnauthorized: false }) };
  return new injected(url, [], options as never);
};

/** It closes as if nobody had answered. */
export const onRefused: Platform['onRefused'] = () => undefined;

export const insecureFetch: Platform['insecureFetch'] = async () => {
  throw new MoshiError('unsupported', 'only Node can ignore a certificate: leave out insecure');
};
