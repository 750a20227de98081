import type { AudioPlatform } from '../audio/platform';
import type { AudioOptions } from '../audio/types';
import { listDevices, onDevices } from './devices';
import { Graph } from './graph';
import { openInput } from './input';
import { openOutput } from './output';
import { record } from './recorder';

/** A browser's microphones and loudspeakers; undefined where there is no Web Audio. */
export function openAudio(options: AudioOptions): AudioPlatform | undefined {
  if (typeof globalThis.AudioContext !== 'function') return undefined;
  const graph = new Graph(options);
  return {
    openInput: (input, sink) => openInput(graph, input, sink),
    openOutput: (output, sink) => openOutput(graph, output, sink),
    devices: listDevices,
    onDevices,
    record: (recording) => record(graph, recording),
  };
}
