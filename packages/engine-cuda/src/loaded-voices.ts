import { basename } from 'node:path';
import { asEngineError, EngineError } from './errors';
import type { NativeEngine, NativeVoice } from './native';
import type { EngineVoice } from './types';
import { decodeVoice, type VoiceLibrary } from './voices';

/** Voices kept in memory: one of the published takes about 400 kB. */
const KEPT = 64;

/** The voices of one engine: found by name in a library, read once, kept while they are in use. */
export class LoadedVoices {
  readonly #native: NativeEngine;
  readonly #library: VoiceLibrary;
  /** By identity of the file, so that a changed file is read anew; the least recently used first. */
  readonly #loaded = new Map<string, Promise<NativeVoice>>();

  constructor(native: NativeEngine, library: VoiceLibrary) {
    this.#native = native;
    this.#library = library;
  }

  list(): Promise<EngineVoice[]> {
    return this.#library.list();
  }

  /** Rejects `ENGINE_BAD_OPTION`, naming the voices there are or what is wrong with this one. */
  async get(name: string): Promise<NativeVoice> {
    const found = await this.#library.find(name);
    const known = this.#loaded.get(found.identity);
    const voice = known ?? this.#read(found.path);
    this.#loaded.delete(found.identity);
    this.#loaded.set(found.identity, voice);
    for (const oldest of this.#loaded.keys()) {
      if (this.#loaded.size <= KEPT) break;
      this.#loaded.delete(oldest);
    }
    try {
      return await voice;
    } catch (cause) {
      this.#loaded.delete(found.identity);
      const known = asEngineError(cause);
      if (known instanceof EngineError && known.code === 'ENGINE_GPU_LOST') throw known;
      // Clients of a server are told this: the file's name, not where it lies.
      const why = (cause instanceof Error ? cause.message : String(cause)).replaceAll(found.path, basename(found.path));
      throw new EngineError('ENGINE_BAD_OPTION', `the voice ${found.name} cannot be used: ${why}`, { cause });
    }
  }

  async #read(path: string): Promise<NativeVoice> {
    if (/\.(pt|safetensors)$/i.test(path)) return await this.#native.loadVoice(path);
    return await this.#native.loadVoice(await decodeVoice(path));
  }
}
