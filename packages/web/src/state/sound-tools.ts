import type { AudioOptions, AudioPlatform } from '@moshi/client';
import type { Settings } from './settings';

/** What a call needs of the browser beside the SDK; a test gives its own. */
export interface SoundTools {
  /** What sound runs on, where it is not the browser. */
  readonly platform?: AudioPlatform;
  /** Called within the click: what the session's sound is to run on. */
  prepare(): AudioOptions;
  /** Asks for the microphone, and holds it until the function it resolves with is called. Rejects as `getUserMedia`. */
  askForMicrophone(settings: Settings): Promise<() => void>;
  /** Gives a WAV file to the browser to save; tells under which address it stays within reach. */
  save(wav: Uint8Array): { readonly url: string; readonly name: string };
}
