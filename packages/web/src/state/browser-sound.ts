import type { AudioOptions } from '@moshi/client';
import type { Settings } from './settings';
import type { SoundTools } from './sound-tools';

/** Set by the build: where the worklets lie, or null when they are inlined in the client. */
declare const WORKLETS: { readonly capture: string; readonly playout: string; readonly recorder: string } | null;

/** Why this browser cannot hold a call; undefined when it can. */
export function missingFeature(): string | undefined {
  if ('AudioWorkletNode' in globalThis && 'WebAssembly' in globalThis) return undefined;
  if (!globalThis.isSecureContext) {
    return 'Browsers keep what a call needs to https and localhost. Open this page under https, or through a tunnel to localhost.';
  }
  return 'It has no AudioWorklet or no WebAssembly. A current Chrome, Edge, Firefox or Safari has both.';
}

/** The sound of the browser this page runs in. */
export function browserSound(): SoundTools {
  let context: AudioContext | undefined;
  return {
    prepare: () => {
      context ??= new AudioContext({ latencyHint: 'interactive' });
      void context.resume();
      return { context, ...(WORKLETS && { worklets: addresses(WORKLETS) }) } satisfies AudioOptions;
    },
    askForMicrophone,
    save,
  };
}

async function askForMicrophone(settings: Settings): Promise<() => void> {
  if (!navigator.mediaDevices) throw new DOMException('', 'insecure-page');
  const { inputId, echoCancellation, noiseSuppression, autoGainControl } = settings;
  const wanted = { echoCancellation, noiseSuppression, autoGainControl, channelCount: 1 };
  // A wish, not a condition: a device that is gone is no reason to refuse the others.
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { ...wanted, ...(inputId !== undefined && { deviceId: { ideal: inputId } }) },
  });
  return () => {
    for (const track of stream.getTracks()) track.stop();
  };
}

function save(wav: Uint8Array): { url: string; name: string } {
  const url = URL.createObjectURL(new Blob([wav as Uint8Array<ArrayBuffer>], { type: 'audio/wav' }));
  const name = `moshi-${new Date().toISOString().slice(0, 19).replace('T', '-').replaceAll(':', '')}.wav`;
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  return { url, name };
}

function addresses<T extends Readonly<Record<string, string>>>(files: T): T {
  return Object.fromEntries(
    Object.entries(files).map(([name, path]) => [name, new URL(path, document.baseURI).href]),
  ) as T;
}
