import { createHash } from 'node:crypto';

/** Headers of every web page that this server makes: what it may load, where it may connect, what of the machine it may use. */
export function pageHeaders(policy: string): Record<string, string> {
  return {
    'content-security-policy': policy,
    'permissions-policy': 'microphone=(self)',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  };
}

/**
 * The policy of the built page: all of it comes from this server. The codecs are WebAssembly; `?worker_addr=` may name another
 * server to talk with, hence any WebSocket.
 */
export const builtPagePolicy = policy({
  'script-src': "'self' 'wasm-unsafe-eval'",
  'style-src': "'self'",
  'img-src': "'self' data:",
  'media-src': "'self' blob:",
  'connect-src': "'self' ws: wss:",
  'manifest-src': "'self'",
});

/** The policy of a page that carries its script and its style within: these two and nothing else. */
export function inlinePagePolicy(script: string, style: string): string {
  return policy({ 'script-src': hashOf(script), 'style-src': hashOf(style), 'img-src': 'data:' });
}

function policy(sources: Readonly<Record<string, string>>): string {
  const all = {
    'default-src': "'none'",
    ...sources,
    'base-uri': "'none'",
    'form-action': "'none'",
    'frame-ancestors': "'none'",
  };
  return Object.entries(all)
    .map(([directive, allowed]) => `${directive} ${allowed}`)
    .join('; ');
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}
