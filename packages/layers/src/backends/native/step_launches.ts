// The launches of a decode step in order: embedding, blocks, norm and head.
import type { Address } from './address.js';
import { attendTokens } from './attention_mixer.js';
import { mlpRows } from './gated_mlp.js';
import { linear, linearInput } from './linear_input.js';
import { mixTokens } from './mamba2_mixer.js';
import { withTemporaries } from './memory.js';
import type { NativeOps } from './ops.js';
import type { StepPlan } from './step_plan.js';
import type { StepStates } from './step_states.js';

/** Inputs and outputs of a step besides states; one row per sequence. */
export interface StepBuffers {
  /** int32: the token to feed. */
  tokens: Address;
  /** int32: tokens that the sequence has seen. */
  positions: Address;
  /** (dModel): the residual stream. */
  hidden: Address;
  /** (dModel): the input of parallel blocks; 0 in a model without such. */
  normed: Address;
  /** A row (dModel) of each number that multiplies the embedding or the residual stream. */
  factors: ReadonlyMap<number, Address>;
  logits: Address;
}

export function launchStep(
  ops: NativeOps,
  plan: StepPlan,
  states: StepStates,
  buffers: StepBuffers,
  rows: number,
): void {
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
      mlpRows(ops, block.weights, { ...stream, rows, length: 1 });
    } else if (block.kind === 'mamba2' && state && 'conv' in state) {
      const { conv, ssm } = state;
      mixTokens(ops, block.weights, {
        ...stream,
        batch: rows,
        length: 1,
        convBefore: conv.address,
        convAfter: conv.address,
        ssmBefore: ssm.address,
        ssmAfter: ssm.address,
      });
    } else if (block.kind === 'attention' && state && 'k' in state) {
      const { k, v, capacity, format } = state;
      attendTokens(ops, block.weights, {
        ...stream,
        batch: rows,
        length: 1,
        cache: { k: k.address, v: v.address, format, capacity, positions },
        maxKeys: capacity,
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
