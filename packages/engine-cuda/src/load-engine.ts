import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backend } from './backends';
import { defaultModel } from './default-model';
import { DeviceEngine } from './device-engine';
import { Engine } from './engine';
import { EngineError, translatedAsync } from './errors';
import { type Hardware, inspectHardware } from './hardware';
import { type ResolveOptions, resolveModel } from './hub';
import {
  addon,
  type NativeAddon,
  type NativeEngine,
  type NativeEngineInfo,
  type NativeModelFiles,
  nativeDevice,
} from './native';
import { checkNumber, checkWhole } from './options';
import { BACKENDS, type Estimates, planOverridesFromEnv } from './plan';
import { fileModel } from './plan/file-model';
import { inWords } from './plan/judge';
import { checkEstimates } from './plan/overrides';
import type { Model } from './plan/shapes';
import {
  type Choice,
  checkCards,
  checkGpu,
  chooseTargets,
  type GpuChoice,
  onCpu,
  wantsGpu,
  whatWouldFit,
} from './targets';
import { voiceLibrary } from './voices';
import { cachedWeights, checkKv, checkWeights, type QuantizeProgress, type WeightForm } from './weights';

/** Where a model runs, and what is left of a GPU's memory for it. */
export interface DeviceOptions extends Estimates {
  /**
   * Which GPUs it runs on. `auto`, the default: those that the plan says suit a model of 1 GB or more, otherwise the CPU. A number is the
   * index of a GPU, a list spreads the conversations over several, true takes what `auto` would but no CPU; what is not there or cannot
   * hold the model is then an error. With false no driver is asked.
   */
  gpu?: GpuChoice;
  /** Positions the attention looks back, 1 to the model's own; 12.5 a second. Left out: the plan's on a GPU, otherwise the model's own. */
  context?: number;
  /** Bytes of a GPU's memory that are left alone; 512 000 000. */
  reservedBytes?: number;
  /** Whether a GPU's steps are recorded once and replayed, which is faster; true. */
  graphs?: boolean;
}

/** What {@link loadEngine} may be told. */
export interface LoadEngineOptions
  extends Pick<ResolveOptions, 'cacheDir' | 'endpoint' | 'token' | 'offline' | 'onProgress' | 'signal' | 'revision'>,
    DeviceOptions {
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
   * to `mixed`, in which only the feed-forward layers of the temporal transformer are q4. `auto`, the default: on a GPU what the plan
   * says; on the CPU files of 1 GB and more are run as q8 unless they are quantized. Quantized weights are kept beside the model, and the
   * next load reads those.
   */
  weights?: WeightForm | 'auto';
  /**
   * Elements of the attention's memory, which a 7B model fills with 1 MB (`f32`), 0.5 MB (`f16`) or a quarter of one (`q8`) a frame.
   * `auto`, the default: on a GPU what the plan says; on the CPU f16 for files of 1 GB and more, otherwise f32.
   */
  kv?: 'auto' | 'f32' | 'f16' | 'q8';
  /** Called while weights are quantized, several times a second. */
  onQuantize?: (progress: QuantizeProgress) => void;
  /** Loads a Moshi checkpoint as PersonaPlex: untrained for it, the start of a fine-tuning. */
  expand?: boolean;
  /** Conversations at once, 1 to 256, on all GPUs together; left out: as many as the GPUs hold and keep up with, one on the CPU. */
  slots?: number;
  /** Threads of one step, 1 to 256; left out: as many as suit this machine. */
  threads?: number;
  /** Instruction set of the CPU kernels, one of those `inspectHardware` names; left out: the best this CPU runs. */
  isa?: string;
}

/** What loading an engine takes from around it. */
export interface Surroundings {
  native: NativeAddon;
  backends: readonly Backend[];
  inspect: () => Promise<Hardware>;
  env: Record<string, string | undefined>;
}

/**
 * Loads a model in the published layout: from a folder, from the Hugging Face hub (downloaded once into the cache that the
 * Python tools share), or the embedded default. Errors name the file and the cure.
 */
export async function loadEngine(options: LoadEngineOptions = {}): Promise<Engine> {
  return loadEngineIn(options, { native: addon(), backends: BACKENDS, inspect: inspectHardware, env: process.env });
}

/** {@link loadEngine} with other surroundings, for tests. @internal */
export async function loadEngineIn(options: LoadEngineOptions, around: Surroundings): Promise<Engine> {
  checkWhole('slots', options.slots, 1, 256);
  checkWhole('threads', options.threads, 1, 256);
  checkWhole('context', options.context, 1, 2 ** 20);
  checkNumber('loraScale', options.loraScale, -100, 100);
  checkWeights(options.weights);
  checkKv(options.kv);
  checkGpu(options.gpu);
  checkEstimates(options);
  const voices = voiceLibrary(options);
  // That a GPU is not there should be known before gigabytes are fetched for it.
  const asked = wantsGpu(options.gpu) ? await askedHardware(options, around) : undefined;
  const files = await engineFiles(options);
  const name = options.model ?? 'embedded';
  const { choice, model } = await choose(name, files, options, around, asked);

  const { onQuantize, signal, threads = 0, isa = '', expand = false } = options;
  const natives: NativeEngine[] = [];
  try {
    const { weights } = choice.targets[0]!;
    const chosen = { weights, threads, isa, expand };
    const cache = await cachedWeights(around.native, files, { ...chosen, onQuantize, signal });
    for (const { device, kv, context, slots } of choice.targets) {
      signal?.throwIfAborted();
      const place = nativeDevice(device, options.graphs ?? true);
      const { loraScale } = options;
      const given = { ...chosen, ...place, cache, kv, context, slots, loraScale };
      natives.push(await translatedAsync(() => around.native.loadEngine(files, given)));
    }
    checkContext(natives[0]!.info, options.context);
  } catch (error) {
    await Promise.allSettled(natives.map((native) => native.close()));
    throw await withWhatFits(error, choice, model, options, around);
  }
  const devices = natives.map(
    (native, index) => new DeviceEngine(native, choice.targets[index]!, options.slots !== undefined, voices),
  );
  return new Engine(devices, natives[0]!.info, { name, trained: options.model !== undefined, notes: choice.notes });
}

// Smaller ones are the embedded model and those of tests: the CPU has time for them.
const SMALL_BYTES = 1e9;

async function askedHardware({ gpu }: LoadEngineOptions, { backends, inspect }: Surroundings): Promise<Hardware> {
  if (!backends.includes('cuda')) {
    throw new EngineError(
      'ENGINE_BAD_OPTION',
      `gpu is ${JSON.stringify(gpu)}, and this build runs every model on the CPU: leave gpu out, or take a build with kernels for GPUs`,
    );
  }
  const hardware = await inspect();
  checkCards(hardware, gpu);
  return hardware;
}

async function choose(
  name: string,
  files: NativeModelFiles,
  options: LoadEngineOptions,
  { backends, inspect, env }: Surroundings,
  asked: Hardware | undefined,
): Promise<{ choice: Choice; model?: Model }> {
  const byItself = (options.gpu ?? 'auto') === 'auto' && backends.includes('cuda');
  const looks = asked !== undefined || (byItself && (await stat(files.lm)).size >= SMALL_BYTES);
  if (!looks) return { choice: onCpu(options) };
  const model = await fileModel(name, files);
  if (!model) {
    const why = `${files.config} does not tell the sizes of the model`;
    if (!asked) return { choice: onCpu(options, `it runs on the CPU: ${why}`) };
    throw new EngineError('ENGINE_BAD_MODEL', `${why}, without which there is no plan for a GPU: leave gpu out`);
  }
  const hardware = asked ?? (await inspect());
  return { choice: chooseTargets(hardware, model, { ...planOverridesFromEnv(env), ...defined(options) }), model };
}

function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

function checkContext({ context }: NativeEngineInfo, asked: number | undefined): void {
  if (asked === undefined || asked === context) return;
  throw new EngineError(
    'ENGINE_BAD_OPTION',
    `context is ${asked}; this model runs with ${context} on this device: leave context out`,
  );
}

/** Memory that ran out, with the plan that would fit what is free by then; any other error as it is. */
async function withWhatFits(
  error: unknown,
  { targets }: Choice,
  model: Model | undefined,
  options: LoadEngineOptions,
  { inspect, env }: Surroundings,
): Promise<unknown> {
  if (!(error instanceof EngineError) || error.code !== 'ENGINE_GPU_MEMORY' || !model) return error;
  const would = whatWouldFit(await inspect(), model, { ...planOverridesFromEnv(env), ...defined(options) });
  const tried = targets.map(({ plan }) => plan && inWords(plan)).join(' and ');
  const cure =
    would === undefined
      ? 'Nothing would fit: free memory of the GPU'
      : would === tried
        ? 'That was the plan: leave more free with reservedBytes, or ask for fewer slots'
        : `What would: ${would}`;
  return new EngineError('ENGINE_GPU_MEMORY', `${error.message}. ${cure}; with gpu: false it runs on the CPU`, {
    cause: error,
  });
}

/** The files of a model, downloaded if need be; the embedded one's when none is named. @internal */
export async function engineFiles(
  options: Omit<LoadEngineOptions, 'slots' | 'voices' | keyof DeviceOptions>,
): Promise<NativeModelFiles> {
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
