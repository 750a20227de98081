import { MoshiError, type MoshiErrorCode } from '../errors';

/** What was asked of the browser. */
export type MediaKind = 'microphone' | 'loudspeaker';

const CODES: Readonly<Record<string, MoshiErrorCode>> = {
  NotAllowedError: 'permission-denied',
  PermissionDeniedError: 'permission-denied',
  SecurityError: 'permission-denied',
  NotFoundError: 'no-device',
  DevicesNotFoundError: 'no-device',
  OverconstrainedError: 'no-device',
  NotReadableError: 'device-busy',
  TrackStartError: 'device-busy',
  AbortError: 'device-busy',
};

/** What a browser's refusal to open a device means, as an error that names the cure. `cause` is what it threw. */
export function mediaError(cause: unknown, kind: MediaKind, chosen = false): MoshiError {
  if (cause instanceof MoshiError) return cause;
  const { name = '', message = '' } = (cause ?? {}) as { name?: string; message?: string };
  const code = CODES[name] ?? 'unsupported';
  return new MoshiError(code, explain(code, kind, message || name || String(cause), chosen), {
    cause,
    retryable: code === 'device-busy',
  });
}

/** The error for pages that browsers give no microphone, or none of the interfaces for it. */
export function insecurePage(address: string): MoshiError {
  return new MoshiError(
    'insecure-page',
    `browsers give a microphone to pages of https and of localhost only, and this one is ${address}: serve it under https, or open it as http://localhost`,
  );
}

/** The error for a device that is asked for when its session is over; `wish` is what it was for. */
export function sessionEnded(wish: string): MoshiError {
  return new MoshiError('closed', `the session has ended: connect anew to ${wish}`);
}

function explain(code: MoshiErrorCode, kind: MediaKind, message: string, chosen: boolean): string {
  switch (code) {
    case 'permission-denied':
      return denial(kind, message);
    case 'no-device':
      return chosen
        ? `this ${kind} is not here any more: choose another one, or none for the default`
        : `there is no ${kind} on this machine: connect one and try again`;
    case 'device-busy':
      return `the ${kind} could not be opened (${message}): close other programs that use it, then try again`;
    default:
      return `the ${kind} could not be opened: ${message}`;
  }
}

function denial(kind: MediaKind, message: string): string {
  const refused = `the ${kind} was refused`;
  if (policyForbids(kind)) {
    return `${refused} by the page this one is embedded in: it needs allow="microphone" there, or a Permissions-Policy that lets it`;
  }
  // Only the words tell these apart, and only in Chromium.
  if (/dismissed/i.test(message))
    return `${refused}, as the question was closed unanswered: ask again and choose "allow"`;
  if (/system/i.test(message))
    return `${refused} by the system: allow this browser the ${kind} in the system's privacy settings`;
  return `${refused}: allow it for this site in the address bar, then try again`;
}

function policyForbids(kind: MediaKind): boolean {
  const { permissionsPolicy, featurePolicy } = (globalThis.document ?? {}) as {
    permissionsPolicy?: FeaturePolicy;
    featurePolicy?: FeaturePolicy;
  };
  const policy = permissionsPolicy ?? featurePolicy;
  return kind === 'microphone' && policy?.allowsFeature('microphone') === false;
}

interface FeaturePolicy {
  allowsFeature(feature: string): boolean;
}
