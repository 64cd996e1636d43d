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
  private readonly projections: Projections;
  private readonly activation: Activation;

  /** @param parameters loaded parameters, see MLP.parameters(config) */
  constructor(config: MLPConfig, parameters: Parameters) {
    this.activation = config.activation ?? 'gelu';
    this.projections = new Projections(parameters);
  }

  /** Its parameters, by their names in a checkpoint. */
  static parameters({ dModel, dInner, bias = true }: MLPConfig): ParameterSpec[] {
    return [
      ...withPrefix('in_proj.', Linear.parameters(dModel, dInner, bias)),
      ...withPrefix('out_proj.', Linear.parameters(dInner, dModel, bias)),
    ];
  }

  forward(x: tf.Tensor, _state?: LayerState, residual?: tf.Tensor): tf.Tensor {
    return gatedMLP(x, this.projections.weights, { activation: this.activation, residual });
  }

  parts(): MixerParts {
    const { weights } = this.projections;
    return { kind: 'mlp', weights, activation: this.activation, eps: 0 };
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
  private readonly projections: Projections;
  private readonly gateProj: Linear;
  private readonly normWeight: tf.Tensor | undefined;

  /** @param parameters loaded parameters, see GatedMLP.parameters(config) */
  constructor(
    private readonly config: GatedMLPConfig,
    parameters: Parameters,
  ) {
    this.projections = new Projections(parameters);
    this.gateProj = new Linear(parameters.scope('gate_proj.'));
    this.normWeight = parameters.optionalVector('norm.weight');
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
    return gatedMLP(x, this.weights(), { activation, eps: normEps, residual });
  }

  parts(): MixerParts {
    const { activation = 'silu', normEps = 1e-5 } = this.config;
    return { kind: 'mlp', weights: this.weights(), activation, eps: normEps };
  }

  initialState(): null {
    return null;
  }

  async restoreState(): Promise<null> {
    return null;
  }

  dispose(): void {}

  private weights(): GatedMLPWeights {
    return {
      ...this.projections.weights,
      gateProj: this.gateProj.weight,
      gateProjBias: this.gateProj.bias,
      normWeight: this.normWeight,
    };
  }
}

/** The two matrices that every MLP has. */
class Projections {
  private readonly inProj: Linear;
  private readonly outProj: Linear;

  constructor(parameters: Parameters) {
    this.inProj = new Linear(parameters.scope('in_proj.'));
    this.outProj = new Linear(parameters.scope('out_proj.'));
  }

  get weights(): GatedMLPWeights {
    return {
      inProj: this.inProj.weight,
      inProjBias: this.inProj.bias,
      outProj: this.outProj.weight,
      outProjBias: this.outProj.bias,
    };
  }
}
