// The launches of a step in order: embedding, blocks, norm and head.
import { attendTokens } from './attention_mixer.js';
import type { DeferredUpdates } from './deferred_updates.js';
import { mlpRows } from './gated_mlp.js';
import { linear, linearInput } from './linear_input.js';
import { mixTokens } from './mamba2_mixer.js';
import { withTemporaries } from './memory.js';
import type { NativeOps } from './ops.js';
import type { StepBuffers } from './step_buffers.js';
import type { StepPlan } from './step_plan.js';
import { rowOf, type StepStates } from './step_states.js';

/** The tokens of a step: `length` of each of `batch` sequences, from row `row` of the states on. */
export interface StepTokens {
  row: number;
  batch: number;
  length: number;
  /** Given, the states are not advanced now. For one sequence. */
  deferred?: DeferredUpdates;
}

export function launchStep(
  ops: NativeOps,
  plan: StepPlan,
  states: StepStates,
  buffers: StepBuffers,
  { row, deferred, ...tokens }: StepTokens,
): void {
  const rows = tokens.batch * tokens.length;
  const { head, dModel, vocabulary, normF } = plan;
  const { positions, hidden, logits, normed } = buffers;
  embed(ops, plan, buffers, rows);
  plan.blocks.forEach((block, i) => {
    const { norm, isParallel, streamFactor } = block;
    multiply(ops, plan, buffers, streamFactor, rows);
    const state = states.blocks[i];
    const isShared = isParallel || plan.blocks[i + 1]?.isParallel === true;
    if (isShared && !isParallel) {
      const strides = { xStride: dModel, yStride: dModel, rows, columns: dModel };
      ops.norm({ ...norm, x: hidden, y: normed, ...strides });
    }
    const [x, inputNorm] = isShared ? [normed, undefined] : [hidden, norm];
    // The last matmul of a block reads each residual value before it writes the sum there.
    const stream = { x, norm: inputNorm, residual: hidden, y: hidden };
    if (block.kind === 'mlp') {
      mlpRows(ops, block.weights, { ...stream, rows, length: tokens.length });
    } else if (block.kind === 'mamba2' && state && 'conv' in state) {
      const { conv, ssm } = state;
      mixTokens(ops, block.weights, {
        ...stream,
        ...tokens,
        convBefore: rowOf(conv, row),
        convAfter: rowOf(conv, row),
        ssmBefore: rowOf(ssm, row),
        ssmAfter: rowOf(ssm, row),
        deferred,
      });
    } else if (block.kind === 'attention' && state && 'k' in state) {
      const { k, v, capacity, format } = state;
      attendTokens(ops, block.weights, {
        ...stream,
        ...tokens,
        cache: { k: rowOf(k, row), v: rowOf(v, row), format, capacity, positions },
        maxKeys: capacity,
        deferred,
      });
    }
  });
  withTemporaries(ops.temporaries, (temporaries) => {
    const last = { x: hidden, xStride: dModel, rows, norm: normF };
    const space = () => temporaries.allocate(rows * dModel * 4);
    linear(ops, linearInput(ops, last, dModel, space), head, { y: logits, yStride: vocabulary });
  });
}

/** The tokens' rows of the embedding, times its multiplier. */
function embed(ops: NativeOps, plan: StepPlan, buffers: StepBuffers, rows: number): void {
  const { embedding, embeddingScale } = plan;
  const { tokens, hidden } = buffers;
  ops.lookUp({ table: embedding.weight, attrs: embedding.attrs, ids: tokens, rows, y: hidden });
  multiply(ops, plan, buffers, embeddingScale, rows);
}

/** Multiplies the residual stream by a number. */
function multiply(
  ops: NativeOps,
  { dModel }: StepPlan,
  { hidden, factors }: StepBuffers,
  factor: number,
  rows: number,
): void {
  const row = factors.get(factor);
  if (row === undefined) return;
  ops.activate({
    x: hidden,
    xStride: dModel,
    multiplier: row,
    multiplierStride: 0,
    y: hidden,
    yStride: dModel,
    rows,
    columns: dModel,
    activation: 'linear',
  });
}
