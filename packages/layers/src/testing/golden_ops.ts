// The ops as the reference numbers call them: `<op>` of ops.json from named inputs to named outputs.
// Serves the tests and `rene verify`; shapes and names are those of goldens/README.md.
import * as tf from '@tensorflow/tfjs-core';
import { activate, softplus } from '../backends/composed/activations.js';
import { InvalidArgumentError } from '../errors.js';
import { layerNorm } from '../layers/layer_norm.js';
import { causalConv1d } from '../ops/causal_conv1d.js';
import { gatedActivation } from '../ops/gated_activation.js';
import { gatedMLP } from '../ops/gated_mlp.js';
import { gatedRmsNorm } from '../ops/gated_rms_norm.js';
import { rmsNorm } from '../ops/rms_norm.js';
import { type KvCache, slidingWindowAttention } from '../ops/sliding_window_attention.js';
import { ssdScan } from '../ops/ssd_scan.js';
import { rowsWeight } from '../weights/packed_weight.js';

/** Attributes of a case as ops.json writes them. */
export interface GoldenAttrs {
  eps?: number;
  group_size?: number | null;
  norm_before_gate?: boolean;
  activation?: 'silu' | null;
  dt_softplus?: boolean;
  dt_limit?: [number, number] | null;
  chunk_size?: number;
  window?: number | null;
  softmax_scale?: number | null;
}

export type NamedTensors = Record<string, tf.Tensor>;
type GoldenOp = (
  inputs: (name: string) => tf.Tensor,
  has: (name: string) => boolean,
  attrs: GoldenAttrs,
) => NamedTensors;

/** Runs the op of a reference case. Throws InvalidArgumentError for an op or input it does not know. */
export function runGoldenOp(op: string, inputs: NamedTensors, attrs: GoldenAttrs): NamedTensors {
  const run = goldenOps[op];
  if (!run) {
    throw new InvalidArgumentError('op', Object.keys(goldenOps).join(', '), op);
  }
  const input = (name: string) => {
    const tensor = inputs[name];
    if (!tensor) throw new InvalidArgumentError(`${op}: inputs`, `a tensor '${name}'`, 'none');
    return tensor;
  };
  return tf.tidy(() => run(input, (name) => name in inputs, attrs));
}

const goldenOps: Record<string, GoldenOp> = {
  activation: (input) => ({
    gelu: activate(input('x'), 'gelu'),
    silu: activate(input('x'), 'silu'),
    softplus: softplus(input('x')),
  }),

  rms_norm: (input, _, { eps }) => ({ y: rmsNorm(input('x'), input('weight'), eps) }),

  layer_norm: (input, _, { eps }) => ({
    y: layerNorm(input('x'), input('weight'), input('bias'), eps),
  }),

  gated_rms_norm: (input, has, { eps, group_size, norm_before_gate }) => ({
    y: gatedRmsNorm(input('x'), has('z') ? input('z') : null, input('weight'), {
      ...(eps && { eps }),
      ...(group_size && { groupSize: group_size }),
      normBeforeGate: norm_before_gate ?? false,
    }),
  }),

  conv1d: (input, has, { activation }) => {
    const width = input('weight').shape[1] ?? 0;
    const initial = has('initial_state') ? tf.transpose(input('initial_state'), [0, 2, 1]) : null;
    const { y, state } = causalConv1d(input('x'), input('weight'), {
      bias: has('bias') ? input('bias') : undefined,
      // The reference keeps the W - 1 inputs that matter; ours has one older, which does not.
      state: initial
        ? tf.pad(initial, [
            [0, 0],
            [1, 0],
            [0, 0],
          ])
        : undefined,
      activation: activation ?? 'linear',
      returnState: true,
    });
    const window = tf.transpose(state ?? y, [0, 2, 1]);
    const [batch = 0, channels = 0] = window.shape;
    return {
      y,
      final_state: tf.slice(window, [0, 0, 1], [batch, channels, width - 1]),
      mamba2_conv_state: window,
    };
  },

  conv1d_update: (input) => {
    const { y, state } = causalConv1d(tf.expandDims(input('x'), 1), input('weight'), {
      bias: input('bias'),
      state: tf.transpose(input('conv_state'), [0, 2, 1]),
      returnState: true,
    });
    return { y: tf.squeeze(y, [1]), new_conv_state: tf.transpose(state ?? y, [0, 2, 1]) };
  },

  ssd: (input, has, { dt_softplus, dt_limit, chunk_size }) => {
    const optional = (name: string) => (has(name) ? input(name) : undefined);
    const { y, state } = ssdScan(input('x'), input('dt'), input('A'), input('B'), input('C'), {
      D: optional('D'),
      dtBias: optional('dt_bias'),
      state: optional('initial_states'),
      dtSoftplus: dt_softplus ?? false,
      ...(dt_limit && { dtLimit: dt_limit }),
      ...(chunk_size && { chunkSize: chunk_size }),
      returnState: true,
    });
    return {
      y: has('z') ? gatedActivation(input('z'), y, 'silu') : y,
      final_states: state ?? y,
    };
  },

  selective_state_update: (input, has, { dt_softplus }) => {
    const token = (name: string) => tf.expandDims(input(name), 1);
    const { y, state } = ssdScan(token('x'), token('dt'), input('A'), token('B'), token('C'), {
      D: input('D'),
      dtBias: input('dt_bias'),
      state: input('state'),
      dtSoftplus: dt_softplus ?? false,
      returnState: true,
    });
    const out = tf.squeeze(y, [1]);
    return {
      y: has('z') ? gatedActivation(input('z'), out, 'silu') : out,
      new_state: state ?? y,
    };
  },

  attention: (input, _, attrs) => ({
    y: slidingWindowAttention(input('q'), input('k'), input('v'), attentionOptions(attrs)).y,
  }),

  /** One query at the end of k and v: all keys but the last come from a cache. */
  attention_decode: (input, _, attrs) => {
    const options = attentionOptions(attrs);
    const length = input('k').shape[1] ?? 0;
    const part = (name: string, start: number, count: number) =>
      tf.slice(input(name), [0, start, 0, 0], [-1, count, -1, -1]);
    const past = length - 1;
    const [batch = 0, , kvHeads = 0, headDim = 0] = input('k').shape;
    let cache: KvCache = {
      k: tf.zeros([batch, 1, kvHeads, headDim]),
      v: tf.zeros([batch, 1, kvHeads, headDim]),
      positions: Array(batch).fill(0),
    };
    if (past > 0) {
      const queries = tf.tile(input('q'), [1, past, 1, 1]);
      const [k, v] = [part('k', 0, past), part('v', 0, past)];
      cache = slidingWindowAttention(queries, k, v, { ...options, cache }).cache ?? cache;
    }
    const [k, v] = [part('k', past, 1), part('v', past, 1)];
    return { y: slidingWindowAttention(input('q'), k, v, { ...options, cache }).y };
  },

  gelu_mlp: (input, has) => ({
    y: gatedMLP(
      input('x'),
      {
        inProj: rowsWeight(input('w_in')),
        outProj: rowsWeight(input('w_out')),
        ...(has('b_in') && { inProjBias: input('b_in') }),
        ...(has('b_out') && { outProjBias: input('b_out') }),
      },
      { activation: 'gelu' },
    ),
  }),

  swiglu_mlp: (input, has, { eps }) => ({
    y: gatedMLP(
      input('x'),
      {
        inProj: rowsWeight(input('w_in')),
        gateProj: rowsWeight(input('w_gate')),
        outProj: rowsWeight(input('w_out')),
        ...(has('w_norm') && { normWeight: input('w_norm') }),
      },
      { activation: 'silu', ...(eps && { eps }) },
    ),
  }),
};

function attentionOptions({ window, softmax_scale }: GoldenAttrs) {
  return { window: window ?? null, ...(softmax_scale && { scale: softmax_scale }) };
}
