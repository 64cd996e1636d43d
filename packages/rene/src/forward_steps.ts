// The forward pass of a model, layer by layer.
import {
  type LayerState,
  packedMatMul,
  type ResidualBlock,
  recomputeInBackward,
} from '@rene-js/layers';
import { FrameTurns } from '@rene-js/layers/internal';
import * as tf from '@tensorflow/tfjs-core';
import type { Backbone } from './architectures/blueprint.js';
import type { RecurrentState } from './state.js';
import { lastTokens, type TokenIds, tokensAt } from './token_ids.js';

/** Options of forward. */
export interface ForwardOptions {
  /** The state to continue and advance. Default: none, the ids start a sequence. */
  state?: RecurrentState | undefined;
  /** Compute logits for the last n tokens only. Default: all. */
  logitsToKeep?: number | undefined;
  /**
   * Compute logits only at these positions in the flattened ids, row * length + position. They are returned
   * one per row. An empty list advances the state only.
   */
  logitsAt?: readonly number[] | undefined;
  /**
   * Called with the residual stream (B, L, dModel): 'embed', then each block's output under its index, then
   * 'norm_f'. Clone tensors that you keep.
   */
  onHidden?: (name: string, hidden: tf.Tensor) => void;
  /**
   * Gradient checkpointing: the variables, by parameter name, whose gradient is recorded. Only each block's
   * input is kept, and the rest is recomputed in the backward pass. Not with a state.
   */
  recompute?: ReadonlyMap<string, tf.Variable> | undefined;
}

/** What a forward pass reads, checked. */
export interface ForwardPass {
  readonly backbone: Backbone;
  readonly paddedVocabSize: number;
  readonly ids: TokenIds;
  readonly shape: readonly [batch: number, length: number];
  /** Number of last tokens that get logits. */
  readonly kept: number;
  readonly options: ForwardOptions;
  /** The variables of layer i among those to recompute. */
  variablesOf(i: number, variables: ReadonlyMap<string, tf.Variable>): tf.Variable[];
}

/** Yields the residual stream after each layer. The caller disposes other tensors. @returns the logits */
export function* forwardSteps({
  backbone,
  paddedVocabSize,
  ids,
  shape: [batch, length],
  kept,
  options: { state, logitsAt, onHidden, recompute },
  variablesOf,
}: ForwardPass): Generator<tf.Tensor, tf.Tensor3D, void> {
  const wanted = (hidden: tf.Tensor) =>
    logitsAt ? tokensAt(hidden, logitsAt) : lastTokens(hidden, kept);
  const input = ids instanceof tf.Tensor ? ids : tf.tensor2d(ids.flat(), [batch, length], 'int32');
  const { embedding, embeddingScale, layers, normF, logitsScale, head, headBias } = backbone;
  const seen = (name: string, value: tf.Tensor, scale: number) =>
    onHidden?.(name, scale === 1 ? value : tf.mul(value, scale));
  const { streamScales } = backbone;
  let hidden = embedding.forward(input);
  if (embeddingScale !== 1) hidden = tf.mul(hidden, embeddingScale);
  seen('embed', hidden, streamScales[0] ?? 1);
  try {
    let first = 0;
    for (const [i, layer] of layers.entries()) {
      const states = state?.layers.slice(first, first + layer.length) ?? [];
      first += layer.length;
      const run = (x: tf.Tensor) => runLayer(layer, x, states);
      const next = recompute
        ? recomputeInBackward(run, hidden, variablesOf(i, recompute))
        : run(hidden);
      hidden = advance(hidden, next);
      seen(String(i), hidden, streamScales[i + 1] ?? 1);
      yield hidden;
    }
    // If hidden states are not requested, norm_f is computed only where logits are.
    if (!onHidden && logitsAt?.length !== 0) hidden = wanted(hidden);
    const normed = normF.forward(hidden);
    seen('norm_f', normed, 1 / logitsScale);
    state?.advance(length);
    if (logitsAt?.length === 0) return tf.tensor3d([], [0, 1, paddedVocabSize]);
    const x = onHidden ? wanted(normed) : normed;
    const [rows = 0, each = 0] = x.shape;
    return tf.reshape(packedMatMul(x, head, { bias: headBias }), [rows, each, paddedVocabSize]);
  } catch (error) {
    state?.invalidate();
    throw error;
  }
}

/**
 * Runs a forward pass with turns of the event loop between layers, so that a page draws its frames meanwhile.
 *
 * @param check called before each layer; may throw
 */
export async function runInTurns(
  steps: Generator<tf.Tensor, tf.Tensor3D, void>,
  check: () => void,
): Promise<tf.Tensor3D> {
  const turns = new FrameTurns();
  let hidden: tf.Tensor | undefined;
  try {
    for (;;) {
      const step = nextStep(steps, check);
      if (step.done) return step.value;
      hidden = step.value;
      await turns.pass();
    }
  } finally {
    hidden?.dispose();
  }
}

/** Runs a step and keeps only its result. An error of `check` ends the steps, which invalidate the state. */
function nextStep(
  steps: Generator<tf.Tensor, tf.Tensor3D, void>,
  check: () => void,
): IteratorResult<tf.Tensor, tf.Tensor3D> {
  let step: IteratorResult<tf.Tensor, tf.Tensor3D> | undefined;
  tf.engine().startScope();
  try {
    try {
      check();
    } catch (error) {
      return steps.throw(error);
    }
    step = steps.next();
    return step;
  } finally {
    tf.engine().endScope(step?.value);
  }
}

/** A layer's blocks. A parallel block reads the input of the previous block. */
function runLayer(
  layer: readonly ResidualBlock[],
  x: tf.Tensor,
  states: readonly (LayerState | null)[],
): tf.Tensor {
  return tf.tidy(() => {
    let [input, stream] = [x, x];
    layer.forEach((block, i) => {
      if (block.streamFactor !== 1) stream = tf.mul(stream, block.streamFactor);
      if (!block.isParallel) input = stream;
      stream = block.forward(input, states[i] ?? undefined, stream);
    });
    return stream;
  });
}

/** Frees a block's input once its output is computed. A gradient tape needs it later. */
function advance(before: tf.Tensor, after: tf.Tensor): tf.Tensor {
  if (tf.engine().state.gradientDepth === 0) before.dispose();
  return after;
}
