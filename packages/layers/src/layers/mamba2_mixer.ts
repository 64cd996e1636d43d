// Mamba2Mixer: the selective state-space layer (arXiv 2405.21060), as in the mamba repository.
import * as tf from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../errors.js';
import type { MixerParts } from '../mixer_parts.js';
import {
  type Mamba2MixerSizes,
  type Mamba2MixerWeights,
  mamba2Mixer,
  recordedMamba2Mixer,
} from '../ops/mamba2_mixer.js';
import { each, kaimingUniform, ones } from './initializers.js';
import type { Mixer, ReadTensor } from './layer.js';
import { Linear } from './linear.js';
import { Mamba2State } from './mamba2_state.js';
import { type ParameterSpec, type Parameters, withPrefix } from './parameters.js';
import { readF32 } from './stored_state.js';

/** Sizes and options. The defaults are those of the mamba repository's Mamba2. */
export interface Mamba2Config {
  dModel: number;
  /** State size N per channel. Default: 128. */
  dState?: number;
  /** Width of the convolution. Default: 4. */
  dConv?: number;
  /** dInner = expand * dModel. Default: 2. */
  expand?: number;
  /** Default: expand * dModel. */
  dInner?: number;
  /** Channels per head. Default: 64. */
  headDim?: number;
  /** Channels of the scan; the rest of dInner is a plain gated MLP. Default: dInner. */
  dSsm?: number | null;
  /** Groups of heads that share B and C. Default: 1. */
  nGroups?: number;
  /** Whether D has a value per channel, not per head. Default: false. */
  dHasHdim?: boolean;
  /** Whether the scan's output is normalised. Default: true. */
  rmsNorm?: boolean;
  /** Channels that are normalised together. Default: dSsm / nGroups. */
  normGroupSize?: number;
  /** Whether the gate comes after that norm. Default: false. */
  normBeforeGate?: boolean;
  /** Biases of the projections. Default: false. */
  bias?: boolean;
  /** Bias of the convolution. Default: true. */
  convBias?: boolean;
  /** dt is clamped to this range after softplus. Default: [0, Infinity]. */
  dtLimit?: readonly [min: number, max: number];
  /** Tokens per chunk of the scan's matrix form, at most 64; affects speed only. */
  chunkSize?: number;
  /** Epsilon of the inner norm. Default: 1e-5. */
  normEps?: number;
  /** Range of A's initial values. Default: [1, 16]. */
  aInitRange?: readonly [min: number, max: number];
  /** Range of dt's initial values and a lower bound. Default: 0.001, 0.1 and 1e-4. */
  dtMin?: number;
  dtMax?: number;
  dtInitFloor?: number;
}

export class Mamba2Mixer implements Mixer<Mamba2State> {
  private readonly sizes: Sizes;
  private readonly inProj: Linear;
  private readonly outProj: Linear;
  private readonly aLog: tf.Tensor;
  /** -exp(A_log), precomputed unless A_log is trained. */
  private readonly fixedA: tf.Tensor | undefined;
  /** (convDim, dConv), precomputed unless it is trained: in TensorFlow a reshape is one op per token. */
  private readonly fixedConv: tf.Tensor | undefined;

  /** @param parameters those of Mamba2Mixer.parameters(config) */
  constructor(
    config: Mamba2Config,
    private readonly parameters: Parameters,
  ) {
    this.sizes = sizesOf(config);
    this.inProj = new Linear(parameters.scope('in_proj.'));
    this.outProj = new Linear(parameters.scope('out_proj.'));
    tf.tidy(() => void this.vectors()); // throws if one is missing
    this.aLog = parameters.vector('A_log');
    // The others are trained if A_log is, and may be computed from variables then.
    if (!(this.aLog instanceof tf.Variable)) {
      this.fixedA = tf.tidy(() => tf.keep(negativeExp(this.aLog)));
      this.fixedConv = tf.keep(this.shapedConv());
    }
  }

  /** Its parameters, by their names in a checkpoint. */
  static parameters(config: Mamba2Config): ParameterSpec[] {
    const { dModel, dInner, dSsm, heads, headDim, convDim, dConv, projection } = sizesOf(config);
    const { bias = false, convBias = true, rmsNorm = true, dHasHdim = false } = config;
    const { aInitRange = [1, 16], dtMin = 0.001, dtMax = 0.1, dtInitFloor = 1e-4 } = config;
    const [aMin, aMax] = aInitRange;
    // dt starts log-uniform in its range; its bias is the inverse softplus of that.
    const dtBias = each((r) => {
      const dt = Math.exp(r * (Math.log(dtMax) - Math.log(dtMin)) + Math.log(dtMin));
      return inverseSoftplus(Math.max(dt, dtInitFloor));
    });
    const vector = (name: string, shape: number[], init: ParameterSpec['init']): ParameterSpec => ({
      name,
      shape,
      kind: 'vector',
      init,
    });
    return [
      vector('dt_bias', [heads], dtBias),
      vector(
        'A_log',
        [heads],
        each((r) => Math.log(aMin + r * (aMax - aMin))),
      ),
      vector('D', [dHasHdim ? heads * headDim : heads], ones),
      ...withPrefix('in_proj.', Linear.parameters(dModel, projection, bias)),
      vector('conv1d.weight', [convDim, 1, dConv], kaimingUniform(dConv)),
      ...(convBias ? [vector('conv1d.bias', [convDim], kaimingUniform(dConv))] : []),
      ...(rmsNorm ? [vector('norm.weight', [dSsm], ones)] : []),
      ...withPrefix('out_proj.', Linear.parameters(dInner, dModel, bias)),
    ];
  }

  forward(x: tf.Tensor, state?: Mamba2State, residual?: tf.Tensor): tf.Tensor {
    return tf.tidy(() => {
      const A = this.fixedA ?? negativeExp(this.aLog);
      const weights = this.shapedWeights(A, this.fixedConv ?? this.shapedConv());
      const states = state && { convState: state.conv, ssmState: state.ssm };
      if (state?.isMarked && states) {
        const recorded = recordedMamba2Mixer(x, weights, this.sizes, states, residual);
        state.replace(recorded.convState, recorded.ssmState);
        state.record(recorded);
        return recorded.y;
      }
      const out = mamba2Mixer(x, weights, this.sizes, states, residual);
      if (state && out.convState && out.ssmState) state.replace(out.convState, out.ssmState);
      return out.y;
    });
  }

  parts(): MixerParts | undefined {
    const { fixedA } = this;
    if (!fixedA) return undefined;
    return {
      kind: 'mamba2',
      weights: this.shapedWeights(fixedA, this.shapedConv()),
      sizes: this.sizes,
    };
  }

  /** The weights in the shapes that the op takes, as new tensors on the same memory. */
  private shapedWeights(A: tf.Tensor, convWeight: tf.Tensor): Mamba2MixerWeights {
    const { heads, headDim } = this.sizes;
    const vectors = this.vectors();
    const { D } = vectors;
    return {
      ...vectors,
      inProj: this.inProj.weight,
      inProjBias: this.inProj.bias,
      outProj: this.outProj.weight,
      outProjBias: this.outProj.bias,
      convWeight,
      A,
      D: D.size === heads ? D : tf.reshape(D, [heads, headDim]),
    };
  }

  private shapedConv(): tf.Tensor {
    const { convDim, dConv } = this.sizes;
    return tf.reshape(this.parameters.vector('conv1d.weight'), [convDim, dConv]);
  }

  private vectors(): Pick<Mamba2MixerWeights, 'convBias' | 'dtBias' | 'D' | 'normWeight'> {
    const { parameters } = this;
    return {
      convBias: parameters.optionalVector('conv1d.bias'),
      dtBias: parameters.vector('dt_bias'),
      D: parameters.vector('D'),
      normWeight: parameters.optionalVector('norm.weight'),
    };
  }

  initialState(batch: number): Mamba2State {
    const { heads, headDim, dState, convDim, dConv } = this.sizes;
    return new Mamba2State(
      tf.zeros([batch, dConv, convDim]),
      tf.zeros([batch, heads, headDim, dState]),
    );
  }

  async restoreState(read: ReadTensor, positions: readonly number[]): Promise<Mamba2State> {
    const { heads, headDim, dState, convDim, dConv } = this.sizes;
    const { length: batch } = positions;
    const conv = await readF32(read, 'convState', [batch, dConv, convDim]);
    try {
      const ssm = await readF32(read, 'ssmState', [batch, heads, headDim, dState]);
      return new Mamba2State(conv, ssm);
    } catch (error) {
      conv.dispose();
      throw error;
    }
  }

  /** Frees its tensors. */
  dispose(): void {
    this.fixedA?.dispose();
    this.fixedConv?.dispose();
  }
}

type Sizes = Mamba2MixerSizes & {
  dModel: number;
  heads: number;
  dConv: number;
  /** Channels of the convolution: x, B and C. */
  convDim: number;
  /** Rows of in_proj. */
  projection: number;
};

function sizesOf(config: Mamba2Config): Sizes {
  const { dModel, dState = 128, dConv = 4, expand = 2, headDim = 64, nGroups = 1 } = config;
  const dInner = config.dInner ?? expand * dModel;
  const dSsm = config.dSsm ?? dInner;
  const heads = dSsm / headDim;
  const [dtMin, dtMax] = config.dtLimit ?? [0, Number.POSITIVE_INFINITY];
  const normGroups = dSsm / (config.normGroupSize ?? dSsm / nGroups);
  const whole: [string, number, string][] = [
    ['expand', dInner, 'expand * dModel to be a whole number'],
    ['headDim', heads, `a divisor of dSsm = ${dSsm}`],
    ['nGroups', heads / nGroups, `a divisor of the ${heads} heads`],
    ['normGroupSize', normGroups, `a divisor of dSsm = ${dSsm}`],
  ];
  for (const [argument, value, expected] of whole) {
    if (!Number.isInteger(value) || value < 1) {
      throw new InvalidArgumentError(`Mamba2Mixer: ${argument}`, expected, `${value}`);
    }
  }
  const convDim = dSsm + 2 * nGroups * dState;
  return {
    dModel,
    dInner,
    dSsm,
    heads,
    headDim,
    dState,
    nGroups,
    dConv,
    convDim,
    projection: 2 * (dInner - dSsm) + dSsm + convDim + heads,
    normGroupSize: config.normGroupSize ?? dSsm / nGroups,
    normBeforeGate: config.normBeforeGate ?? false,
    eps: config.normEps ?? 1e-5,
    dtMin,
    dtMax,
    chunkSize: Math.min(config.chunkSize ?? 64, 64),
  };
}

function negativeExp(aLog: tf.Tensor): tf.Tensor {
  return tf.neg(tf.exp(aLog));
}

function inverseSoftplus(y: number): number {
  return y + Math.log(-Math.expm1(-y));
}
