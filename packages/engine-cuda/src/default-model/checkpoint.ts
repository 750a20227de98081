import { SeededRandom } from './random';
import type { TensorData } from './safetensors';

/** A Mimi configuration in the published form. */
export type MimiConfig = typeof MIMI_CONFIG;

/** The embedded codec: Mimi's architecture with a quarter of its channels and two layers. */
export const MIMI_CONFIG = {
  sample_rate: 24000,
  channels: 1,
  frame_rate: 12.5,
  seanet: {
    channels: 1,
    dimension: 128,
    causal: true,
    n_filters: 16,
    n_residual_layers: 1,
    activation: 'ELU',
    compress: 2,
    dilation_base: 2,
    kernel_size: 7,
    residual_kernel_size: 3,
    last_kernel_size: 3,
    norm: 'none',
    pad_mode: 'constant',
    ratios: [8, 6, 5, 4],
    true_skip: true,
  },
  quantizer: { dimension: 64, n_q: 8, bins: 2048, input_dimension: 128, output_dimension: 128 },
  transformer: {
    d_model: 128,
    num_heads: 4,
    num_layers: 2,
    causal: true,
    layer_scale: 0.01,
    context: 250,
    conv_layout: true,
    max_period: 10000,
    gating: 'none',
    norm: 'layer_norm',
    positional_embedding: 'rope',
    dim_feedforward: 512,
    input_dimension: 128,
    output_dimensions: [128],
  },
};

/** The embedded language model: Moshi's architecture, narrow and shallow. */
export function lmConfig(textCard: number) {
  return {
    model_type: 'moshi',
    moshi_name: 'model.safetensors',
    mimi_name: 'mimi.safetensors',
    mimi_config_name: 'mimi_config.json',
    tokenizer_name: 'tokenizer.model',
    dim: 128,
    text_card: textCard,
    existing_text_padding_id: 3,
    n_q: 16,
    dep_q: 8,
    card: 2048,
    num_heads: 4,
    num_layers: 4,
    hidden_scale: 4.125,
    causal: true,
    layer_scale: null,
    context: 250,
    max_period: 10000,
    gating: 'silu',
    norm: 'rms_norm_f32',
    positional_embedding: 'rope',
    depformer_dim: 64,
    depformer_dim_feedforward: 264,
    depformer_num_heads: 4,
    depformer_num_layers: 2,
    depformer_layer_scale: null,
    depformer_multi_linear: true,
    depformer_context: 8,
    depformer_max_period: 10000,
    depformer_gating: 'silu',
    depformer_pos_emb: 'none',
    depformer_weights_per_step: true,
    delays: [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1],
  };
}

/** Collects tensors of random values under their published names. */
class Maker {
  readonly tensors = new Map<string, TensorData>();
  readonly #random: SeededRandom;
  readonly #type: TensorData['type'];

  constructor(seed: number, type: TensorData['type']) {
    this.#random = new SeededRandom(seed);
    this.#type = type;
  }

  /** Normal values of standard deviation `scale`. */
  normal(name: string, shape: number[], scale: number): Float32Array {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < values.length; i++) values[i] = this.#random.normal() * scale;
    this.tensors.set(name, { shape, values, type: this.#type });
    return values;
  }

  /** A matrix or kernel scaled by the square root of what each output sums over. */
  weight(name: string, shape: number[], gain = 1): Float32Array {
    const inputs = shape.slice(1).reduce((a, b) => a * b, 1);
    return this.normal(name, shape, gain / Math.sqrt(inputs));
  }

  constant(name: string, shape: number[], value: number): void {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value);
    this.tensors.set(name, { shape, values, type: this.#type });
  }
}

function codecTransformer(maker: Maker, prefix: string, config: MimiConfig): void {
  const { d_model: dim, num_layers: layers, dim_feedforward: hidden, layer_scale: scale } = config.transformer;
  for (let i = 0; i < layers; i++) {
    const layer = `${prefix}.transformer.layers.${i}`;
    maker.weight(`${layer}.self_attn.in_proj_weight`, [3 * dim, dim]);
    maker.weight(`${layer}.self_attn.out_proj.weight`, [dim, dim]);
    maker.weight(`${layer}.linear1.weight`, [hidden, dim]);
    maker.weight(`${layer}.linear2.weight`, [dim, hidden]);
    for (const n of [1, 2]) {
      maker.constant(`${layer}.norm${n}.weight`, [dim], 1);
      maker.constant(`${layer}.norm${n}.bias`, [dim], 0);
      maker.constant(`${layer}.layer_scale_${n}.scale`, [dim], scale);
    }
  }
}

/** Mimi's tensors with random values; loud enough to be heard, quiet enough not to hurt. */
export function mimiTensors(seed: number, config: MimiConfig = MIMI_CONFIG): Map<string, TensorData> {
  const maker = new Maker(seed, 'F32');
  const { dimension, n_filters: filters, ratios, kernel_size: kernel, last_kernel_size: last } = config.seanet;
  const conv = (name: string, out: number, inputs: number, width: number, gain = 1.2) => {
    maker.weight(`${name}.weight`, [out, inputs, width], gain);
    maker.normal(`${name}.bias`, [out], 0.01);
  };
  const residual = (name: string, channels: number) => {
    conv(`${name}.block.1.conv.conv`, channels / 2, channels, 3);
    conv(`${name}.block.3.conv.conv`, channels, channels / 2, 1, 0.5);
  };

  let channels = filters;
  let stage = 0;
  conv(`encoder.model.${stage++}.conv.conv`, channels, 1, kernel, 8);
  for (const ratio of [...ratios].reverse()) {
    residual(`encoder.model.${stage++}`, channels);
    conv(`encoder.model.${++stage}.conv.conv`, 2 * channels, channels, 2 * ratio);
    channels *= 2;
    stage++;
  }
  conv(`encoder.model.${++stage}.conv.conv`, dimension, channels, last);

  stage = 0;
  conv(`decoder.model.${stage++}.conv.conv`, channels, dimension, kernel);
  for (const ratio of ratios) {
    // Each output of a transposed convolution sums over two taps of every input channel.
    const name = `decoder.model.${++stage}.convtr.convtr`;
    maker.normal(`${name}.weight`, [channels, channels / 2, 2 * ratio], 1.2 / Math.sqrt(2 * channels));
    maker.normal(`${name}.bias`, [channels / 2], 0.01);
    channels /= 2;
    residual(`decoder.model.${++stage}`, channels);
    stage++;
  }
  conv(`decoder.model.${++stage}.conv.conv`, 1, channels, last, 0.03);

  codecTransformer(maker, 'encoder_transformer', config);
  codecTransformer(maker, 'decoder_transformer', config);
  maker.weight('downsample.conv.conv.conv.weight', [dimension, dimension, 4]);
  maker.normal('upsample.convtr.convtr.convtr.weight', [dimension, 1, 4], 0.7);
  const { dimension: code, bins, n_q: codebooks } = config.quantizer;
  for (const [chain, count] of [
    ['rvq_first', 1],
    ['rvq_rest', codebooks - 1],
  ] as const) {
    maker.weight(`quantizer.${chain}.input_proj.weight`, [code, dimension, 1]);
    maker.weight(`quantizer.${chain}.output_proj.weight`, [dimension, code, 1]);
    for (let i = 0; i < count; i++) {
      const name = `quantizer.${chain}.vq.layers.${i}._codebook`;
      maker.constant(`${name}._initialized`, [1], 1);
      maker.constant(`${name}.cluster_usage`, [bins], 1);
      maker.normal(`${name}.embedding_sum`, [bins, code], 0.5 / (i + 1));
    }
  }
  return maker.tensors;
}

/** The language model's tensors with random values; most text tokens come out as padding, the rest as whole words. */
export function lmTensors(
  seed: number,
  config: ReturnType<typeof lmConfig>,
  words: readonly [first: number, end: number],
): Map<string, TensorData> {
  const maker = new Maker(seed, 'BF16');
  const { dim, text_card: textCard, card, n_q: audio, dep_q: generated, depformer_dim: depth } = config;
  const gated = (prefix: string, width: number, feedForward: number) => {
    const hidden = Math.floor((2 * feedForward) / 3);
    maker.weight(`${prefix}.linear_in.weight`, [2 * hidden, width]);
    maker.weight(`${prefix}.linear_out.weight`, [width, hidden]);
  };

  // All text inputs share one direction, to which the text head answers with padding, and never with byte pieces.
  const shared = new SeededRandom(seed + 1);
  const direction = Float32Array.from({ length: dim }, () => shared.normal());
  const text = maker.normal('text_emb.weight', [textCard + 1, dim], 1);
  for (let i = 0; i < text.length; i++) text[i] = text[i]! + 3 * direction[i % dim]!;
  for (let k = 0; k < audio; k++) maker.normal(`emb.${k}.weight`, [card + 1, dim], 0.25);
  for (let i = 0; i < config.num_layers; i++) {
    const layer = `transformer.layers.${i}`;
    maker.constant(`${layer}.norm1.alpha`, [1, 1, dim], 1);
    maker.constant(`${layer}.norm2.alpha`, [1, 1, dim], 1);
    maker.weight(`${layer}.self_attn.in_proj_weight`, [3 * dim, dim]);
    maker.weight(`${layer}.self_attn.out_proj.weight`, [dim, dim]);
    gated(`${layer}.gating`, dim, config.hidden_scale * dim);
  }
  maker.constant('out_norm.alpha', [1, 1, dim], 1);
  const head = maker.weight('text_linear.weight', [textCard, dim], 1.5);
  for (let token = 0; token < textCard; token++) {
    if (token >= words[0] && token < words[1]) continue;
    const answer = token === config.existing_text_padding_id ? 9 : -5;
    for (let d = 0; d < dim; d++) head[token * dim + d] = (answer * direction[d]!) / dim;
  }

  for (let k = 0; k < generated; k++) maker.weight(`depformer_in.${k}.weight`, [depth, dim]);
  maker.normal('depformer_text_emb.weight', [textCard + 1, depth], 0.5);
  for (let k = 0; k + 1 < generated; k++) maker.normal(`depformer_emb.${k}.weight`, [card + 1, depth], 0.5);
  for (let i = 0; i < config.depformer_num_layers; i++) {
    const layer = `depformer.layers.${i}`;
    maker.constant(`${layer}.norm1.alpha`, [1, 1, depth], 1);
    maker.constant(`${layer}.norm2.alpha`, [1, 1, depth], 1);
    maker.weight(`${layer}.self_attn.in_proj_weight`, [generated * 3 * depth, depth]);
    maker.weight(`${layer}.self_attn.out_proj.weight`, [generated * depth, depth]);
    for (let k = 0; k < generated; k++) gated(`${layer}.gating.${k}`, depth, config.depformer_dim_feedforward);
  }
  for (let k = 0; k < generated; k++) maker.weight(`linears.${k}.weight`, [card, depth]);
  return maker.tensors;
}
