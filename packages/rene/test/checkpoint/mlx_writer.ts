// Writes checkpoints like cartesia-mlx, from MLX's definitions: quantised matrices in groups, packed values,
// names, and a configuration flattened into the metadata.

import type { TensorToWrite } from '../../src/checkpoint/safetensors.js';
import type { ReneConfig } from '../../src/config.js';
import { layerKinds } from '../../src/config.js';

export interface PlainTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A matrix as returned by mlx.core.quantize. */
export interface Quantized {
  readonly words: Uint32Array;
  readonly scales: Float32Array;
  readonly biases: Float32Array;
}

/** mx.quantize: each group of a row gets quantised values from 0 to 2^bits - 1, a scale and a bias. */
export function quantize(values: Float32Array, bits: number, groupSize: number): Quantized {
  const groups = values.length / groupSize;
  const quantized = new Uint32Array(values.length);
  const scales = new Float32Array(groups);
  const biases = new Float32Array(groups);
  const most = 2 ** bits - 1;
  for (let g = 0; g < groups; g++) {
    const group = values.subarray(g * groupSize, (g + 1) * groupSize);
    const [low, high] = [Math.min(...group), Math.max(...group)];
    // The edge of larger magnitude is represented exactly; the scale's sign follows it.
    const useLow = Math.abs(low) > Math.abs(high);
    let scale = Math.max((high - low) / most, 1e-7) * (useLow ? 1 : -1);
    const edge = useLow ? low : high;
    const steps = Math.round(edge / scale);
    if (steps !== 0) scale = edge / steps;
    scales[g] = toBf16(scale);
    biases[g] = toBf16(steps === 0 ? 0 : edge);
    for (const [i, value] of group.entries()) {
      const code = Math.round((value - (biases[g] ?? 0)) / (scales[g] ?? 1));
      quantized[g * groupSize + i] = Math.min(most, Math.max(0, code));
    }
  }
  const words = new Uint32Array((values.length * bits) / 32);
  quantized.forEach((code, i) => {
    const at = i * bits;
    const word = Math.floor(at / 32);
    words[word] = ((words[word] ?? 0) | (code << (at % 32))) >>> 0;
    // The rest of a value that crosses into the next word.
    const rest = (at % 32) + bits - 32;
    if (rest > 0) words[word + 1] = ((words[word + 1] ?? 0) | (code >>> (bits - rest))) >>> 0;
  });
  return { words, scales, biases };
}

/** mx.dequantize, value by value from the bits of the row. */
export function dequantize({ words, scales, biases }: Quantized, bits: number, groupSize: number) {
  const values = new Float32Array((words.length * 32) / bits);
  for (let i = 0; i < values.length; i++) {
    const at = i * bits;
    const word = Math.floor(at / 32);
    const pair = BigInt(words[word] ?? 0) | (BigInt(words[word + 1] ?? 0) << 32n);
    const code = Number(BigInt.asUintN(bits, pair >> BigInt(at % 32)));
    const group = Math.floor(i / groupSize);
    values[i] = code * (scales[group] ?? 0) + (biases[group] ?? 0);
  }
  return values;
}

/** Rounds to the nearest bfloat16. */
export function toBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = ((bits[0] ?? 0) + 0x8000) & 0xffff0000;
  return new Float32Array(bits.buffer)[0] ?? 0;
}

/**
 * The tensors of a model under MLX's names. Matrices except the embedding and gates are quantised.
 *
 * @param others quantisation of some modules, by MLX's names; null for none
 */
export function mlxTensors(
  tensors: readonly PlainTensor[],
  kinds: readonly string[],
  quantization?: { bits: number; groupSize: number },
  others: Readonly<Record<string, { bits: number; groupSize: number } | null>> = {},
): TensorToWrite[] {
  return tensors.flatMap(({ name, shape, values }): TensorToWrite[] => {
    const mlxName = toMlxName(name, kinds);
    const isLinear = /(in_proj|out_proj|qkv_proj|head\.linear)\.weight$/.test(mlxName);
    const [rows = 0, columns = 0] = shape;
    const stem = mlxName.slice(0, -'.weight'.length);
    const own = others[stem] === undefined ? quantization : others[stem];
    if (own && isLinear) {
      const { bits, groupSize } = own;
      const { words, scales, biases } = quantize(values, bits, groupSize);
      const groupShape = [rows, columns / groupSize];
      return [
        {
          name: mlxName,
          dtype: 'U32',
          shape: [rows, words.length / rows],
          bytes: () => raw(words),
        },
        { name: `${stem}.scales`, dtype: 'BF16', shape: groupShape, bytes: () => bf16(scales) },
        { name: `${stem}.biases`, dtype: 'BF16', shape: groupShape, bytes: () => bf16(biases) },
      ];
    }
    if (name.endsWith('A_log')) {
      return [
        { name: mlxName, dtype: 'F32', shape, bytes: () => raw(values.map((x) => -Math.exp(x))) },
      ];
    }
    const flat = name.endsWith('conv1d.weight') ? [rows, shape[2] ?? 0] : shape;
    return [{ name: mlxName, dtype: 'F32', shape: flat, bytes: () => raw(values) }];
  });
}

function toMlxName(name: string, kinds: readonly string[]): string {
  const [, i = '', rest = ''] = /^backbone\.layers\.(\d+)\.mixer\.(.+)$/.exec(name) ?? [];
  if (rest !== '') return `model.layers.${i}.layer.${mixerName(rest, kinds[Number(i)] ?? '')}`;
  return name
    .replace('backbone.embedding', 'embedding.encoder')
    .replace('backbone.layers', 'model.layers')
    .replace('backbone.norm_f', 'model.norm')
    .replace('lm_head', 'head.linear');
}

function mixerName(rest: string, kind: string): string {
  if (kind === 'attn') return rest.replace('in_proj', 'qkv_proj');
  if (kind === 'mlp') return rest;
  return rest
    .replace(/^A_log$/, 'A')
    .replace('conv1d.', 'conv_')
    .replace(/^norm\./, 'rms_norm.');
}

/** The configuration as cartesia-mlx flattens it, every value as JSON. */
export function mlxMetadata(
  config: ReneConfig,
  quantization?: { bits: number; groupSize: number },
): Record<string, string> {
  const { ssm, attn, mlp } = config;
  const flat: Record<string, unknown> = {
    _class_: 'models.rene.Rene',
    d_model: config.dModel,
    n_tokens: config.vocabSize,
    eos: config.eosTokenId,
    'tokenizer._class_': 'utils.tokenizer.Tokenizer',
    'tokenizer.name': 'allenai/OLMo-1B-hf',
    'head._class_': 'layers.linear.Linear',
    'head.bias': config.lmHeadBias,
    'model.n_layer_repeats': 1,
    'model.post_norm': true,
  };
  if (quantization) {
    flat['quantization_kwargs.group_size'] = quantization.groupSize;
    flat['quantization_kwargs.bits'] = quantization.bits;
  }
  layerKinds(config).forEach((kind, i) => {
    const block = `model.unique_layers.${i}`;
    flat[`${block}._class_`] = 'layers.residual_block.ResidualBlock';
    flat[`${block}.norm_point`] = 'pre';
    const values: Record<string, unknown> = {
      ssd: {
        _class_: 'layers.ssd.ssd.SSD',
        expand: ssm.expand,
        kernel_size: ssm.dConv,
        d_state: ssm.dState,
        d_head: ssm.headDim,
        norm_before_gate: ssm.normBeforeGate,
      },
      attn: {
        _class_: 'layers.sa.SelfAttention',
        d_head: attn?.headDim,
        kv_heads: attn?.numHeadsKv,
        max_context_len: attn?.slidingWindowLength,
      },
      mlp: { _class_: 'layers.ffn.SwiGLU', expand: (mlp?.dInner ?? 0) / config.dModel },
    };
    for (const [key, value] of Object.entries(Object(values[kind]))) {
      flat[`${block}.layer.${key}`] = value;
    }
    if (kind !== 'ssd') return;
    flat[`${block}.layer.dt_limit.0`] = ssm.dtLimit[0];
    flat[`${block}.layer.dt_limit.1`] = ssm.dtLimit[1];
  });
  const spell = (value: unknown) =>
    value === Number.POSITIVE_INFINITY ? 'Infinity' : JSON.stringify(value);
  return Object.fromEntries(Object.entries(flat).map(([key, value]) => [key, spell(value)]));
}

function raw(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Values that are exact in bfloat16. */
function bf16(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return raw(Uint16Array.from(bits, (word) => word >>> 16));
}
