import type { AudioOptions, DeviceList } from './audio/types';

/**
 * The microphones and loudspeakers there are. It never asks for a permission, so names may be empty until a microphone was
 * allowed once. Rejects with {@link MoshiError} `unsupported` outside of browsers, unless `options.platform` has devices.
 */
export async function listDevices(options: Pick<AudioOptions, 'platform'> = {}): Promise<DeviceList> {
  // What knows of devices is loaded with the rest of the sound.
  const { platformOf } = await import('./sound');
  return platformOf(options).devices();
}
