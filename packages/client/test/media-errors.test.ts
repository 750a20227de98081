import { afterEach, describe, expect, it, vi } from 'vitest';
import { insecurePage, mediaError } from '../src/audio/media-errors';
import { MoshiError } from '../src/index';

const thrown = (name: string, message = 'words of the browser') => Object.assign(new Error(message), { name });

describe('errors of devices', () => {
  afterEach(() => vi.unstubAllGlobals());

  it.each([
    ['NotAllowedError', 'permission-denied', 'allow it for this site in the address bar'],
    ['SecurityError', 'permission-denied', 'in the address bar'],
    ['NotFoundError', 'no-device', 'connect one and try again'],
    ['NotReadableError', 'device-busy', 'close other programs that use it'],
    ['AbortError', 'device-busy', 'could not be opened (words of the browser)'],
    ['TypeError', 'unsupported', 'could not be opened: words of the browser'],
  ])('%s is %s and names the cure', (name, code, cure) => {
    const error = mediaError(thrown(name), 'microphone');
    expect(error).toMatchObject({ code, retryable: code === 'device-busy' });
    expect(error.message).toContain(cure);
    expect(error.message).not.toContain('\n');
    expect((error.cause as Error).name).toBe(name);
  });

  it('tells a closed question, the system and an embedding page from a refusal', () => {
    expect(mediaError(thrown('NotAllowedError', 'Permission dismissed'), 'microphone').message).toContain('ask again');
    const bySystem = mediaError(thrown('NotAllowedError', 'Permission denied by system'), 'microphone');
    expect(bySystem.message).toContain("the system's privacy settings");
    vi.stubGlobal('document', { permissionsPolicy: { allowsFeature: () => false } });
    expect(mediaError(thrown('NotAllowedError'), 'microphone').message).toContain('allow="microphone"');
  });

  it('tells a device that was chosen from one that never was', () => {
    expect(mediaError(thrown('OverconstrainedError'), 'microphone', true).message).toContain('choose another one');
  });

  it('takes anything, and leaves its own alone', () => {
    const own = new MoshiError('no-device', 'x');
    expect(mediaError(own, 'microphone')).toBe(own);
    expect(mediaError(undefined, 'loudspeaker').message).toContain('the loudspeaker could not be opened: undefined');
    expect(mediaError('odd', 'loudspeaker').message).toContain('odd');
  });

  it('explains the rule of https and localhost', () => {
    expect(insecurePage('http://192.168.0.7:8998')).toMatchObject({ code: 'insecure-page' });
    expect(insecurePage('http://x').message).toContain('open it as http://localhost');
  });
});
