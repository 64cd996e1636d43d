// Inputs and outputs of a compiled step.
import type { Address } from './address.js';
import type { Temporaries } from './memory.js';
import type { NativeOps } from './ops.js';
import type { StepPlan } from './step_plan.js';

/** Inputs and outputs of a step besides states; one row per token that it is fed. */
export interface StepBuffers {
  /** int32: the tokens to feed. */
  tokens: Address;
  /** int32: tokens that each sequence has seen. */
  positions: Address;
  /** (dModel): the residual stream. */
  hidden: Address;
  /** (dModel): the input of parallel blocks; 0 in a model without such. */
  normed: Address;
  /** A row (dModel) of each number that multiplies the embedding or the residual stream. */
  factors: ReadonlyMap<number, Address>;
  logits: Address;
}

export function stepBuffers(
  ops: NativeOps,
  memory: Temporaries,
  plan: StepPlan,
  rows: number,
): StepBuffers {
  const { blocks, dModel, vocabulary } = plan;
  return {
    tokens: memory.allocate(rows * 4),
    positions: memory.allocate(rows * 4),
    hidden: memory.allocate(rows * dModel * 4),
    normed: blocks.some(({ isParallel }) => isParallel) ? memory.allocate(rows * dModel * 4) : 0,
    factors: factorRows(ops, memory, plan),
    logits: memory.allocate(rows * vocabulary * 4),
  };
}

/** A row of each number other than 1 that multiplies the embedding or the residual stream. */
function factorRows(
  ops: NativeOps,
  memory: Temporaries,
  { embeddingScale, blocks, dModel }: StepPlan,
): ReadonlyMap<number, Address> {
  const factors = new Set([embeddingScale, ...blocks.map(({ streamFactor }) => streamFactor)]);
  factors.delete(1);
  return new Map(
    [...factors].map((factor) => {
      const row = new Float32Array(dModel).fill(factor);
      const address = memory.allocate(row.byteLength);
      ops.upload(address, new Uint8Array(row.buffer));
      return [factor, address];
    }),
  );
}
