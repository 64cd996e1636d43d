// GatedMLP (SwiGLU, GeGLU) and MLP, the ungated exact-GELU one of Rene's PyTorch checkpoint.
import type * as tf from '@tensorflow/tfjs-core';
import type { Activation } from '../kernels.js';
import type { MixerParts } from '../mixer_parts.js';
import { type GatedMLPWeights, gatedMLP } from '../ops/gated_mlp.js';
import { ones } from './initializers.js';
import type { LayerState, Mixer } from './layer.js';
import { Linear } from './linear.js';
import { type ParameterSpec, type Parameters, withPrefix } from './parameters.js';

/** Sizes of an ungated MLP. */
export interface MLPConfig {
  dModel: number;
  /** Channels between the projections. */
  dInner: number;
  /** Biases of the projections. Default: true. */
  bias?: boolean;
  /** Default: 'gelu' (exact) for MLP, 'silu' for GatedMLP. */
  activation?: Activation;
}

/** Sizes and options of a gated MLP. */
export interface GatedMLPConfig extends MLPConfig {
  /** An RMS norm before out_proj. Default: false. */
  norm?: boolean;
  /** Epsilon of that norm. Default: 1e-5. */
  normEps?: number;
}

/** outProj(activation(inProj x)) */
export class MLP implements Mixer {
  private readonly weights: GatedMLPWeights;
  private readonly activation: Activation;

  /** @param parameters those of MLP.parameters(config) */
  constructor(config: MLPConfig, parameters: Parameters) {
    this.activation = config.activation ?? 'gelu';
    this.weights = projections(parameters);
  }

  /** Its parameters, by their names in a checkpoint. */
  static parameters({ dModel, dInner, bias = true }: MLPConfig): ParameterSpec[] {
    return [
      ...withPrefix('in_proj.', Linear.parameters(dModel, dInner, bias)),
      ...withPrefix('out_proj.', Linear.parameters(dInner, dModel, bias)),
    ];
  }

  forward(x: tf.Tensor, _state?: LayerState, residual?: tf.Tensor): tf.Tensor {
    return gatedMLP(x, this.weights, { activation: this.activation, residual });
  }

  parts(): MixerParts {
    return { kind: 'mlp', weights: this.weights, activation: this.activation, eps: 0 };
  }

  initialState(): null {
    return null;
  }

  async restoreState(): Promise<null> {
    return null;
  }

  dispose(): void {}
}

/** outProj(norm(activation(inProj x) * gateProj x)) (Shazeer, arXiv 2002.05202). */
export class GatedMLP implements Mixer {
  private readonly weights: GatedMLPWeights;

  /** @param parameters those of GatedMLP.parameters(config) */
  constructor(
    private readonly config: GatedMLPConfig,
    parameters: Parameters,
  ) {
    const gateProj = new Linear(parameters.scope('gate_proj.'));
    this.weights = {
      ...projections(parameters),
      gateProj: gateProj.weight,
      gateProjBias: gateProj.bias,
      normWeight: parameters.optionalVector('norm.weight'),
    };
  }

  /** Its parameters, by their names in a checkpoint. */
  static parameters(config: GatedMLPConfig): ParameterSpec[] {
    const { dModel, dInner, bias = true, norm = false } = config;
    const weight: ParameterSpec = {
      name: 'norm.weight',
      shape: [dInner],
      kind: 'vector',
      init: ones,
    };
    return [
      ...withPrefix('in_proj.', Linear.parameters(dModel, dInner, bias)),
      ...withPrefix('gate_proj.', Linear.parameters(dModel, dInner, bias)),
      ...(norm ? [weight] : []),
      ...withPrefix('out_proj.', Linear.parameters(dInner, dModel, bias)),
    ];
  }

  forward(x: tf.Tensor, _state?: LayerState, residual?: tf.Tensor): tf.Tensor {
    const { activation = 'silu', normEps = 1e-5 } = this.config;
    return gatedMLP(x, this.weights, { activation, eps: normEps, residual });
  }

  parts(): MixerParts {
    const { activation = 'silu', normEps = 1e-5 } = this.config;
    return { kind: 'mlp', weights: this.weights, activation, eps: normEps };
  }

  initialState(): null {
    return null;
  }

  async restoreState(): Promise<null> {
    return null;
  }

  dispose(): void {}
}

function projections(parameters: Parameters): GatedMLPWeights {
  const inProj = new Linear(parameters.scope('in_proj.'));
  const outProj = new Linear(parameters.scope('out_proj.'));
  return {
    inProj: inProj.weight,
    inProjBias: inProj.bias,
    outProj: outProj.weight,
    outProjBias: outProj.bias,
  };
}
