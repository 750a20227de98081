import { join } from 'node:path';
import { defaultModel } from './default-model';
import { translatedAsync } from './errors';
import { type ResolveOptions, resolveModel } from './hub';
import { LoadedVoices } from './loaded-voices';
import { addon, type NativeEngine, type NativeModelFiles, type PersonaTimes } from './native';
import { checkNumber, checkWhole, settleSessionOptions } from './options';
import { EngineSession } from './session';
import type { EngineInfo, EngineSessionOptions, EngineVoice } from './types';
import { type VoiceLibrary, voiceLibrary } from './voices';
import { cachedWeights, checkKv, checkWeights, type QuantizeProgress, type WeightForm } from './weights';

/** What {@link loadEngine} may be told. */
export interface LoadEngineOptions
  extends Pick<ResolveOptions, 'cacheDir' | 'endpoint' | 'token' | 'offline' | 'onProgress' | 'signal' | 'revision'> {
  /** A folder, or `owner/name` on the Hugging Face hub; left out: the embedded model, small and untrained. */
  model?: string;
  /** Voices of PersonaPlex: a folder of them (.pt, .safetensors, recordings) or a voices.tgz; left out: the model's own. */
  voices?: string;
  /** LoRA adapter to fuse into the weights: a path, a name inside the model, or `hf://owner/name/file`; the config's own otherwise. */
  lora?: string;
  /** How strongly the adapter acts; left out: the config's `lora_scaling`, 2. */
  loraScale?: number;
  /**
   * The form weights are run in: as the file has them (`stored`), or converted while they are loaded to `f16`, `bf16`, `q8` or `q4`, or
   * to `mixed`, in which only the feed-forward layers of the temporal transformer are q4. `auto`, the default: files of 1 GB and more
   * are run as q8 unless they are quantized. Quantized weights are kept beside the model, and the next load reads those.
   */
  weights?: WeightForm | 'auto';
  /**
   * Elements of the attention's memory, which a 7B model fills with 1 MB (`f32`), 0.5 MB (`f16`) or a quarter of one (`q8`) a frame.
   * `auto`, the default: f16 for files of 1 GB and more, otherwise f32.
   */
  kv?: 'auto' | 'f32' | 'f16' | 'q8';
  /** Called while weights are quantized, several times a second. */
  onQuantize?: (progress: QuantizeProgress) => void;
  /** Loads a Moshi checkpoint as PersonaPlex: untrained for it, the start of a fine-tuning. */
  expand?: boolean;
  /** Conversations at once, 1 to 256; 1. */
  slots?: number;
  /** Threads of one step, 1 to 256; left out: as many as suit this machine. */
  threads?: number;
  /** Instruction set of the CPU kernels, one of those `inspectHardware` names; left out: the best this CPU runs. */
  isa?: string;
}

/** A loaded model. It steps all its sessions on one native thread and never blocks the event loop. */
export class Engine {
  readonly info: EngineInfo;
  readonly #native: NativeEngine;
  readonly #voices: LoadedVoices | undefined;
  #closed: Promise<void> | undefined;

  /** Made by {@link loadEngine}. @internal */
  constructor(native: NativeEngine, model: string, trained: boolean, voices: VoiceLibrary) {
    this.#native = native;
    const { slots, dialect, ...details } = native.info;
    this.info = {
      model,
      dialect: dialect === 'personaplex' ? 'personaplex' : 'moshi',
      sampleRate: 24000,
      frameSamples: 1920,
      slots: Number(slots),
      trained,
      features: ['say', 'interrupt', 'endTurn'],
      details,
    };
    if (this.info.dialect === 'personaplex') this.#voices = new LoadedVoices(native, voices);
  }

  /** The voices a session may be opened with, sorted by name; none for models that know no voices. */
  async voices(): Promise<EngineVoice[]> {
    return (await this.#voices?.list()) ?? [];
  }

  /**
   * Starts a conversation; resolves when voice and role, if any, are read: the first time takes a while, after that the same
   * persona is ready at once. Rejects with code `ENGINE_FULL` when no slot is free, `ENGINE_BAD_OPTION` for bad options.
   */
  async open(options: EngineSessionOptions = {}): Promise<EngineSession> {
    const { voice: name, ...settled } = settleSessionOptions(options);
    const voice = name ? await this.#voices?.get(name) : undefined;
    return EngineSession.start(this.#native, settled, voice);
  }

  /** Measures how long a persona takes to be read, three ways, while nothing else should run. */
  async timePersona(options: { voice?: string; prompt?: string }): Promise<PersonaTimes> {
    const voice = options.voice ? await this.#voices?.get(options.voice) : undefined;
    return translatedAsync(() => this.#native.timePersona({ voice, prompt: options.prompt ?? '' }));
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
  checkNumber('loraScale', options.loraScale, -100, 100);
  checkWeights(options.weights);
  checkKv(options.kv);
  const voices = voiceLibrary(options);
  const native = addon();
  const files = await engineFiles(options);
  const { onQuantize, signal, weights = 'auto', threads = 0, isa = '', expand = false } = options;
  const chosen = { weights, threads, isa, expand };
  const cache = await cachedWeights(native, files, { ...chosen, onQuantize, signal });
  const engine = await translatedAsync(() =>
    native.loadEngine(files, {
      ...chosen,
      cache,
      kv: options.kv ?? 'auto',
      slots: options.slots ?? 1,
      loraScale: options.loraScale,
    }),
  );
  return new Engine(engine, options.model ?? 'embedded', options.model !== undefined, voices);
}

/** The files of a model, downloaded if need be; the embedded one's when none is named. @internal */
export async function engineFiles(options: Omit<LoadEngineOptions, 'slots' | 'voices'>): Promise<NativeModelFiles> {
  if (options.model === undefined) {
    const folder = await defaultModel();
    return {
      config: join(folder, 'config.json'),
      lm: join(folder, 'model.safetensors'),
      mimi: join(folder, 'mimi.safetensors'),
      mimiConfig: join(folder, 'mimi_config.json'),
      tokenizer: join(folder, 'tokenizer.model'),
      lora: options.lora ?? '',
    };
  }
  const files = await resolveModel(options.model, {
    ...options,
    ...(options.lora !== undefined && { files: { loraWeights: options.lora } }),
  });
  return {
    config: files.configPath ?? '',
    lm: files.lmWeights,
    mimi: files.mimiWeights,
    mimiConfig: files.mimiConfig ?? '',
    tokenizer: files.tokenizer,
    lora: files.loraWeights ?? '',
  };
}
