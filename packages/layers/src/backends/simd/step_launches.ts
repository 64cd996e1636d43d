// The jobs of a decode step, in order: embedding, blocks, head.
import type { SimdBackend } from './backend.js';
import { mlpRows } from './gated_mlp.js';
import { linear } from './linear.js';
import { mixTokens } from './mamba2_mixer.js';
import { unpackRows } from './packing.js';
import { normRows } from './rms_norm.js';
import { attendToken } from './sliding_window_attention.js';
import type { AttentionPlan, Norm, StepPlan } from './step_plan.js';
import type { RingBuffers, StepStates } from './step_states.js';
import { withTemporaries } from './temporaries.js';

/** Addresses, a row each: what a step reads and writes besides states. */
export interface StepBuffers {
  /** int32: the token fed to the row. */
  tokens: number;
  /** int32: tokens that the row has seen. */
  positions: number;
  /** dModel numbers: the residual stream. */
  hidden: number;
  /** dModel numbers: its norm. */
  normed: number;
  logits: number;
}

export function launchStep(
  backend: SimdBackend,
  plan: StepPlan,
  states: StepStates,
  buffers: StepBuffers,
  rows: number,
): void {
  const { runtime } = backend;
  const { tokens, hidden, normed, logits } = buffers;
  const { embedding, head, dModel, vocabulary } = plan;
  unpackRows(runtime, embedding.weight, embedding.attrs, { ids: tokens, count: rows, to: hidden });
  const norm = ({ weight, eps }: Norm) => {
    normRows(runtime, {
      x: hidden,
      xStride: dModel,
      weight,
      y: normed,
      yStride: dModel,
      rows,
      columns: dModel,
      groupSize: dModel,
      eps,
    });
  };
  // The last product of a block reads the residual before it writes its sum there.
  const stream = { x: normed, residual: hidden, y: hidden };
  plan.blocks.forEach((block, i) => {
    const state = states.blocks[i];
    norm(block.norm);
    if (block.kind === 'mlp') {
      mlpRows(backend, block.inputs, block.attrs, { ...stream, rows });
    } else if (block.kind === 'mamba2' && state && 'conv' in state) {
      mixTokens(backend, block.inputs, block.attrs, {
        ...stream,
        batch: rows,
        length: 1,
        convBefore: state.conv.address,
        convAfter: state.conv.address,
        ssmBefore: state.ssm.address,
        ssmAfter: state.ssm.address,
      });
    } else if (block.kind === 'attention' && state && 'k' in state) {
      attendTokens(backend, block.attention, state, buffers, rows, dModel);
    }
  });
  norm(plan.normF);
  withTemporaries(runtime, (temporaries) =>
    linear(runtime, temporaries, {
      x: normed,
      xStride: dModel,
      rows,
      ...head,
      y: logits,
      yStride: vocabulary,
    }),
  );
}

/** in_proj; the ring moved on and attended to; out_proj and residual. */
function attendTokens(
  backend: SimdBackend,
  { inProj, outProj, heads, kvHeads, headDim, window, scale }: AttentionPlan,
  ring: RingBuffers,
  { normed, hidden, positions }: StepBuffers,
  rows: number,
  dModel: number,
): void {
  const { runtime } = backend;
  const width = heads * headDim;
  const kvWidth = kvHeads * headDim;
  const projection = width + 2 * kvWidth;
  withTemporaries(runtime, (temporaries) => {
    const qkv = temporaries.allocate(rows * projection * 4);
    linear(runtime, temporaries, {
      x: normed,
      xStride: dModel,
      rows,
      ...inProj,
      y: qkv,
      yStride: projection,
    });
    const y = temporaries.allocate(rows * width * 4);
    const sizes = { batch: rows, length: 1, heads, kvHeads, dim: headDim };
    const own = { k: qkv + width * 4, v: qkv + (width + kvWidth) * 4, stride: projection };
    const { capacity, format } = ring;
    const rings = { k: ring.k.address, v: ring.v.address, capacity, format };
    const call = { q: qkv, qStride: projection, y, ...sizes, window, scale };
    attendToken(runtime, call, own, rings, { at: positions, greatest: capacity });
    linear(runtime, temporaries, {
      x: y,
      xStride: width,
      rows,
      ...outProj,
      residual: hidden,
      y: hidden,
      yStride: dModel,
    });
  });
}
