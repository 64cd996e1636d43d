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
  logits: Address;
}

export function launchStep(
  ops: NativeOps,
  plan: StepPlan,
  states: StepStates,
  { tokens, positions, hidden, logits }: StepBuffers,
  rows: number,
): void {
  const { embedding, head, dModel, vocabulary, normF } = plan;
  ops.lookUp({ table: embedding.weight, attrs: embedding.attrs, ids: tokens, rows, y: hidden });
  plan.blocks.forEach((block, i) => {
    const { norm } = block;
    const state = states.blocks[i];
    // The last matmul of a block reads each residual value before it writes the sum there.
    const stream = { x: hidden, norm, residual: hidden, y: hidden };
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
    const input = { x: hidden, xStride: dModel, rows, norm: normF };
    const space = () => temporaries.allocate(rows * dModel * 4);
    const normed = linearInput(ops, input, dModel, space);
    linear(ops, normed, head, { y: logits, yStride: vocabulary });
  });
}
