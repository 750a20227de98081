import type { AudioDevice, DeviceList } from '../audio/types';
import { MoshiError } from '../errors';

/** What a browser lists as its default device, beside the device itself. */
const DEFAULT = 'default';
/** Another name of a device that is in the list anyway. */
const COMMUNICATIONS = 'communications';

/** Whether a page may choose its loudspeaker here. */
export function canChooseOutput(): boolean {
  return [globalThis.AudioContext, globalThis.HTMLMediaElement].some((type) => type && 'setSinkId' in type.prototype);
}

/** Lists devices; asks for no permission. */
export async function listDevices(): Promise<DeviceList> {
  const { mediaDevices } = globalThis.navigator;
  if (!mediaDevices?.enumerateDevices) {
    throw new MoshiError('unsupported', 'this page cannot see devices: that takes https or localhost');
  }
  const found = (await mediaDevices.enumerateDevices()).filter(({ deviceId }) => deviceId !== COMMUNICATIONS);
  const [inputs, outputs] = (['input', 'output'] as const).map((kind) => {
    const own = found.filter((device) => device.kind === `audio${kind}`);
    const first = own.find(({ deviceId }) => deviceId === DEFAULT) ?? own[0];
    return own.map(
      (device): AudioDevice => ({
        id: device.deviceId,
        label: device.label,
        kind,
        isDefault: device === first,
      }),
    );
  });
  const labelled = found.some(({ label }) => label !== '');
  return { inputs: inputs!, outputs: outputs!, labelled, canChooseOutput: canChooseOutput() };
}

/** Calls when devices came or went; returns how to stop that. */
export function onDevices(listener: () => void): () => void {
  const { mediaDevices } = globalThis.navigator;
  mediaDevices?.addEventListener('devicechange', listener);
  return () => mediaDevices?.removeEventListener('devicechange', listener);
}

/** The loudspeaker with this id, or the default one, as far as the browser tells. */
export async function findOutput(id: string | undefined): Promise<AudioDevice | undefined> {
  const { outputs } = await listDevices().catch(() => ({ outputs: [] }));
  return outputs.find((device) => (id === undefined ? device.isDefault : device.id === id));
}
