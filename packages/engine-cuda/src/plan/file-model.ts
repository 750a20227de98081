import { readFile, stat } from 'node:fs/promises';
import { type DepthShape, type Model, parameters, SHAPES, type Shape, sum } from './shapes';

const MOST_CONFIG = 1e6;

/**
 * The model that files hold: sizes from its config, bits of a weight from the size of its weights. Null where the config does not tell the
 * sizes; loading then says what is wrong with it.
 */
export async function fileModel(name: string, { config, lm }: { config: string; lm: string }): Promise<Model | null> {
  const shape = config === '' ? SHAPES['moshi-7b'] : shapeOf(await parsed(config));
  if (!shape) return null;
  const { size } = await stat(lm);
  return { name, shape: { ...shape, storedBits: (8 * size) / sum(parameters(shape, shape.depth?.stored)) } };
}

async function parsed(path: string): Promise<unknown> {
  try {
    return (await stat(path)).size <= MOST_CONFIG ? JSON.parse(await readFile(path, 'utf8')) : null;
  } catch {
    return null;
  }
}

/** The sizes a published config.json tells; undefined when it lacks one or has it out of range. */
export function shapeOf(config: unknown): Shape | undefined {
  if (typeof config !== 'object' || config === null) return undefined;
  const given = config as Record<string, unknown>;
  const persona = given.model_type === 'personaplex';
  // The published PersonaPlex repository names the type only.
  if (persona && given.dim === undefined) return SHAPES['personaplex-7b'];

  let whole = true;
  const size = (key: string, fallback?: number, least = 1): number => {
    const value = given[key] ?? fallback;
    if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= 2 ** 20) return Number(value);
    whole = false;
    return 1;
  };
  const dim = size('dim');
  const layers = size('num_layers');
  const codebooks = size('n_q');
  const textCard = size('text_card');
  // PersonaPlex draws every codebook, though half of them are the user's.
  const stored = persona ? codebooks : size('dep_q', undefined, 0);
  const both = stored === codebooks && codebooks % 2 === 0;
  const scale = typeof given.hidden_scale === 'number' ? given.hidden_scale : 4;
  const shape: Shape = {
    layers,
    dim,
    hidden: gated(dim, size('dim_feedforward', Math.floor(scale * dim))),
    heads: size('num_heads'),
    context: size('context'),
    textIn: textCard + 1,
    textOut: size('text_card_out', textCard),
    codebooks,
    extraOutputs: size('extra_heads_num_heads', 0, 0) * size('extra_heads_dim', 6),
    depth: null,
    codec: stored === 0 ? ['encode'] : ['encode', 'decode'],
  };
  if (stored > 0) shape.depth = depthOf(given, size, stored, both ? stored / 2 : stored, scale, layers);
  return whole ? shape : undefined;
}

function depthOf(
  given: Record<string, unknown>,
  size: (key: string, fallback?: number, least?: number) => number,
  stored: number,
  steps: number,
  scale: number,
  temporalLayers: number,
): DepthShape {
  const dim = size('depformer_dim');
  const lowRank = size('depformer_low_rank_embeddings', 0, 0);
  const schedule = given.depformer_weights_per_step_schedule;
  const shared = given.depformer_weights_per_step !== true;
  return {
    layers: size('depformer_num_layers', temporalLayers),
    dim,
    hidden: gated(dim, size('depformer_dim_feedforward', Math.floor(scale * dim))),
    stored,
    steps,
    ...(shared && { sets: 1 }),
    ...(!shared && Array.isArray(schedule) && { sets: new Set(schedule).size }),
    ...(lowRank > 0 && { lowRank }),
  };
}

/** Inner width of a gated layer, whose two branches share what the config calls its width. */
function gated(dim: number, feedForward: number): number {
  return feedForward === 4 * dim ? Math.floor((21 * dim) / 8) : Math.floor((2 * feedForward) / 3);
}
