import { join } from 'node:path';
import { defaultModel } from './default-model';
import { translatedAsync } from './errors';
import { type ResolveOptions, resolveModel } from './hub';
import { addon, type NativeEngine, type NativeModelFiles } from './native';
import { checkWhole, settleSessionOptions } from './options';
import { EngineSession } from './session';
import type { EngineInfo, EngineSessionOptions } from './types';

/** What {@link loadEngine} may be told. */
export interface LoadEngineOptions
  extends Pick<ResolveOptions, 'cacheDir' | 'endpoint' | 'token' | 'offline' | 'onProgress' | 'signal' | 'revision'> {
  /** A folder, or `owner/name` on the Hugging Face hub; left out: the embedded model, small and untrained. */
  model?: string;
  /** Conversations at once, 1 to 256; 1. */
  slots?: number;
  /** Threads of one step, 1 to 256; left out: as many as suit this machine. */
  threads?: number;
  /** Instruction set of the CPU kernels: `baseline`, `avx2` or `avx512`; left out: the best this CPU runs. */
  isa?: string;
}

/** A loaded model. It steps all its sessions on one native thread and never blocks the event loop. */
export class Engine {
  readonly info: EngineInfo;
  readonly #native: NativeEngine;
  #closed: Promise<void> | undefined;

  /** Made by {@link loadEngine}. @internal */
  constructor(native: NativeEngine, model: string, trained: boolean) {
    this.#native = native;
    const { slots, dialect, ...details } = native.info;
    this.info = {
      model,
      dialect: dialect === 'personaplex' ? 'personaplex' : 'moshi',
      sampleRate: 24000,
      frameSamples: 1920,
      slots: Number(slots),
      trained,
      details,
    };
  }

  /** Starts a conversation; resolves when the role prompt, if any, is read. Rejects with code `ENGINE_FULL` when no slot is free, `ENGINE_BAD_OPTION` for bad options. */
  async open(options: EngineSessionOptions = {}): Promise<EngineSession> {
    return EngineSession.start(this.#native, settleSessionOptions(options));
  }

  /** Closes all sessions, ends the native thread and frees the weights. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#native.close();
    return this.#closed;
  }
}

/**
 * Loads a model in the published layout: from a folder, from the Hugging Face hub (downloaded once into the cache that the
 * Python tools share), or the embedded default. Errors name the file and the cure.
 */
export async function loadEngine(options: LoadEngineOptions = {}): Promise<Engine> {
  checkWhole('slots', options.slots, 1, 256);
  checkWhole('threads', options.threads, 1, 256);
  const native = addon();
  const files = await engineFiles(options);
  const engine = await translatedAsync(() =>
    native.loadEngine(files, { slots: options.slots ?? 1, threads: options.threads ?? 0, isa: options.isa ?? '' }),
  );
  return new Engine(engine, options.model ?? 'embedded', options.model !== undefined);
}

async function engineFiles(options: LoadEngineOptions): Promise<NativeModelFiles> {
  if (options.model === undefined) {
    const folder = await defaultModel();
    return {
      config: join(folder, 'config.json'),
      lm: join(folder, 'model.safetensors'),
      mimi: join(folder, 'mimi.safetensors'),
      mimiConfig: join(folder, 'mimi_config.json'),
      tokenizer: join(folder, 'tokenizer.model'),
    };
  }
  const files = await resolveModel(options.model, options);
  return {
    config: files.configPath ?? '',
    lm: files.lmWeights,
    mimi: files.mimiWeights,
    mimiConfig: files.mimiConfig ?? '',
    tokenizer: files.tokenizer,
  };
}
