/** Models whose shapes are known, so that what they need can be told before they are loaded. */
export const PLANNED_MODELS = ['personaplex-7b', 'moshi-7b', 'stt-1b', 'stt-2.6b', 'tts-1.6b'] as const;
/** One of {@link PLANNED_MODELS}. */
export type PlannedModel = (typeof PLANNED_MODELS)[number];

/** Sizes of a published model. */
export interface Shape {
  layers: number;
  dim: number;
  /** Width of a feed-forward layer between its matrices. */
  hidden: number;
  heads: number;
  /** Positions the attention looks back. */
  context: number;
  /** Tokens of text that go in, and those that come out. */
  textIn: number;
  textOut: number;
  /** Codebooks that go in. */
  codebooks: number;
  /** Outputs of further heads. */
  extraOutputs: number;
  depth: DepthShape | null;
  /** Directions of the codec that run. */
  codec: ('encode' | 'decode')[];
  /** Bits of a weight in the file; only of a model whose file was looked at. */
  storedBits?: number;
}

/** Sizes of a depth transformer. */
export interface DepthShape {
  layers: number;
  dim: number;
  hidden: number;
  /** Codebooks in the checkpoint, and those that are drawn live. */
  stored: number;
  steps: number;
  /** Sets of weights that so many steps share; none: each step has its own. */
  sets?: number;
  /** Inner width of its embeddings; none: they are whole. */
  lowRank?: number;
}

const CARD = 2048;

const SEVEN_BILLION: Shape = {
  layers: 32,
  dim: 4096,
  hidden: 11_264,
  heads: 32,
  context: 3000,
  textIn: 32_001,
  textOut: 32_000,
  codebooks: 16,
  extraOutputs: 0,
  depth: { layers: 6, dim: 1024, hidden: 2816, stored: 8, steps: 8 },
  codec: ['encode', 'decode'],
};

/** The published sizes, by name. */
export const SHAPES: Record<PlannedModel, Shape> = {
  // Of its 16 depth steps the last 8 draw the user's codes, which are heard instead: they are not even loaded.
  'personaplex-7b': { ...SEVEN_BILLION, depth: { ...SEVEN_BILLION.depth!, stored: 16 } },
  'moshi-7b': SEVEN_BILLION,
  'stt-1b': {
    layers: 16,
    dim: 2048,
    hidden: 5376,
    heads: 16,
    context: 750,
    textIn: 8001,
    textOut: 8000,
    codebooks: 32,
    extraOutputs: 24,
    depth: null,
    codec: ['encode'],
  },
  'stt-2.6b': {
    layers: 48,
    dim: 2048,
    hidden: 5376,
    heads: 32,
    context: 375,
    textIn: 4001,
    textOut: 4000,
    codebooks: 32,
    extraOutputs: 0,
    depth: null,
    codec: ['encode'],
  },
  'tts-1.6b': {
    layers: 16,
    dim: 2048,
    hidden: 5632,
    heads: 16,
    context: 500,
    textIn: 8001,
    textOut: 5,
    codebooks: 32,
    extraOutputs: 0,
    depth: { layers: 4, dim: 1024, hidden: 2048, stored: 32, steps: 32, sets: 11, lowRank: 128 },
    codec: ['decode'],
  },
};

/** Weights, by what forms tell apart. */
export interface Parts {
  /** Of the temporal transformer. */
  attention: number;
  feedForward: number;
  /** Heads, depth transformer, embeddings, norms. */
  rest: number;
}

/** A model to plan for. */
export interface Model {
  name: string;
  shape: Shape;
}

const depthStep = ({ layers, dim, hidden }: DepthShape) => layers * (4 * dim * dim + 3 * dim * hidden);

function temporal({ layers, dim, hidden }: Shape): Pick<Parts, 'attention' | 'feedForward'> {
  return { attention: layers * 4 * dim * dim, feedForward: layers * 3 * dim * hidden };
}

/** Weights with so many codebooks of the depth transformer: those that are run, unless told otherwise. */
export function parameters(shape: Shape, codebooks = shape.depth?.steps ?? 0): Parts {
  const { dim, layers, depth } = shape;
  const norms = (2 * layers + 1) * dim;
  const embeddings = (shape.textIn + shape.codebooks * (CARD + 1)) * dim;
  const heads = (shape.textOut + shape.extraOutputs) * dim;
  let rest = norms + embeddings + heads;
  if (depth) {
    const sets = depth.sets ?? codebooks;
    const columns = depth.lowRank ?? depth.dim;
    const lowRank = codebooks * (depth.lowRank ?? 0) * depth.dim;
    rest += sets * (depthStep(depth) + depth.dim * dim) + 2 * depth.layers * depth.dim;
    rest += codebooks * CARD * depth.dim;
    rest += (shape.textIn + (codebooks - 1) * (CARD + 1)) * columns + lowRank;
  }
  return { ...temporal(shape), rest };
}

/** Weights that one frame reads: all linear layers, those of the depth transformer once a step. */
export function readParameters(shape: Shape, steps = shape.depth?.steps ?? 0): Parts {
  const { dim, depth } = shape;
  let rest = (shape.textOut + shape.extraOutputs) * dim;
  if (depth) rest += steps * (depthStep(depth) + depth.dim * (dim + CARD + (depth.lowRank ?? 0)));
  return { ...temporal(shape), rest };
}

/** All of them. */
export function sum({ attention, feedForward, rest }: Parts): number {
  return attention + feedForward + rest;
}
