import type { Hardware } from '@moshi/engine-cuda';
import { loopbackEngine } from '@moshi/server';
import type { Codec, Host, Models } from '../../src/host';
import { run } from '../../src/run';

/** What one run of the command left. */
export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A codec of two codebooks that keeps the mean of each frame, to 15 bits, in its second one. */
export function meanCodec(): Codec & { closed: boolean } {
  return {
    codebooks: 2,
    closed: false,
    async encode(pcm, codebooks = 2) {
      const frames = Math.ceil(pcm.length / 1920);
      const codes = new Int32Array(codebooks * frames);
      for (let frame = 0; frame < frames; frame++) {
        const part = pcm.subarray(frame * 1920, (frame + 1) * 1920);
        const mean = part.reduce((sum, sample) => sum + sample, 0) / part.length;
        codes[frame] = frame;
        if (codebooks > 1) codes[frames + frame] = Math.round((mean + 1) * 16_384);
      }
      return { codes, frames };
    },
    async decode(codes, codebooks) {
      const frames = codes.length / codebooks;
      const pcm = new Float32Array(frames * 1920);
      for (let i = 0; i < pcm.length; i++) pcm[i] = codes[frames + Math.floor(i / 1920)]! / 16_384 - 1;
      return pcm;
    },
    async voiceCodes(pcm) {
      return new Int32Array(8 * Math.ceil(pcm.length / 1920)).fill(7);
    },
    close() {
      this.closed = true;
    },
  };
}

/** A machine without a GPU. */
export function testMachine(changes: Partial<Hardware> = {}): Hardware {
  return {
    platform: 'linux-x64',
    node: process.version,
    cpu: { model: 'Test CPU', threads: 4, isa: ['baseline', 'avx2'], used: 'avx2', engineThreads: 2 },
    memory: { totalBytes: 8e9, freeBytes: 4e9 },
    gpus: [],
    ...changes,
  };
}

/** Models without native code: an echo and {@link meanCodec}. */
export function fakeModels(changes: Partial<Models> = {}): Models {
  return {
    loadEngine: async ({ slots = 1 }) => loopbackEngine({ slots }),
    loadMimi: async () => meanCodec(),
    inspectHardware: async () => testMachine(),
    outlook: () => [],
    planOverridesFromEnv: () => ({}),
    BACKENDS: ['cpu'],
    voiceLibrary: () => ({ list: async () => [{ name: 'NATF0' }, { name: 'VARM4' }] }),
    decodeVoice: async () => new Float32Array(48_000).fill(0.25),
    checkVoiceOutput: async () => {},
    writeVoice: async () => {},
    expandCheckpoint: async () => {},
    quantizeCheckpoint: async () => ({ bytes: 8e9, notes: [] }),
    bench: async () => Promise.reject(new Error('nothing is measured here')),
    evaluate: async () => Promise.reject(new Error('nothing is evaluated here')),
    ...changes,
  };
}

/** Runs the command in this process and collects what it writes. */
export async function moshi(argv: string[], host: Partial<Host> = {}): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  const status = await run(argv, {
    stdout: {
      write: (text) => {
        stdout += text;
      },
    },
    stderr: {
      write: (text) => {
        stderr += text;
      },
    },
    signal: new AbortController().signal,
    models: async () => fakeModels(),
    debug: false,
    ...host,
  });
  return { status, stdout, stderr };
}
