// AdamW: Adam with decoupled weight decay (arXiv 1711.05101).
import { adamWStep, InvalidArgumentError } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';

/** Hyperparameters of AdamW. */
export interface AdamWOptions {
  /** Decay of the first moment. Default: 0.9. */
  beta1?: number;
  /** Decay of the second moment. Default: 0.95. */
  beta2?: number;
  /** Default: 1e-8. */
  eps?: number;
  /** Weight decay; see isDecayed. Default: 0.1. */
  weightDecay?: number;
}

interface Moments {
  readonly variable: tf.Variable;
  readonly mean: tf.Variable;
  readonly square: tf.Variable;
  readonly decayed: boolean;
}

/** The optimiser with its state: two tensors per variable, and the number of steps. */
export class AdamW {
  private readonly moments = new Map<string, Moments>();
  private readonly options: Required<AdamWOptions>;
  private taken = 0;

  /** @param variables by parameter name, as model.trainableVariables has them */
  constructor(
    variables: ReadonlyMap<string, tf.Variable>,
    { beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weightDecay = 0.1 }: AdamWOptions = {},
  ) {
    this.options = { beta1, beta2, eps, weightDecay };
    tf.tidy(() => {
      for (const [name, variable] of variables) {
        const mean = tf.variable(tf.zeros(variable.shape), false);
        const square = tf.variable(tf.zeros(variable.shape), false);
        this.moments.set(name, { variable, mean, square, decayed: isDecayed(name) });
      }
    });
  }

  /** Number of steps taken. */
  get steps(): number {
    return this.taken;
  }

  /**
   * Updates every variable.
   *
   * @param gradients one per variable, by parameter name
   * @param scale factor on all gradients (clipping)
   */
  step(gradients: ReadonlyMap<string, tf.Tensor>, learningRate: number, scale = 1): void {
    const { beta1, beta2, eps, weightDecay } = this.options;
    this.taken++;
    const meanCorrection = 1 / (1 - beta1 ** this.taken);
    const squareCorrection = 1 / (1 - beta2 ** this.taken);
    for (const [name, { variable, mean, square, decayed }] of this.moments) {
      const gradient = gradients.get(name);
      if (!gradient) throw new InvalidArgumentError('gradients', `one for ${name}`, 'none');
      const next = adamWStep({ variable, mean, square }, gradient, {
        scale,
        beta1,
        beta2,
        eps,
        meanCorrection,
        squareCorrection,
        learningRate,
        weightDecay: decayed ? weightDecay : 0,
      });
      mean.assign(next.mean);
      square.assign(next.square);
      variable.assign(next.variable);
      tf.dispose([next.mean, next.square, next.variable]);
    }
  }

  /** The state's tensors: `<parameter>.mean` and `<parameter>.square`. The optimiser owns them. */
  tensors(): Map<string, tf.Variable> {
    const tensors = new Map<string, tf.Variable>();
    for (const [name, { mean, square }] of this.moments) {
      tensors.set(`${name}.mean`, mean);
      tensors.set(`${name}.square`, square);
    }
    return tensors;
  }

  /** Sets the number of steps on resuming; the caller restores the values of tensors(). */
  resumeAt(steps: number): void {
    this.taken = steps;
  }

  /** Frees the state, not the model's variables. */
  dispose(): void {
    for (const { mean, square } of this.moments.values()) tf.dispose([mean, square]);
    this.moments.clear();
  }
}

/**
 * Weight decay applies to matrices, embeddings and convolutions, not to norms, biases, A_log, D and
 * dt_bias.
 */
export function isDecayed(parameterName: string): boolean {
  return parameterName.endsWith('weight') && !/(^|\.)norm(_f)?\.weight$/.test(parameterName);
}
