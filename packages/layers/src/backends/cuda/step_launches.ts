// The launches of a decode step, in order: embedding, blocks, head, and the choice of the next token.
import { lookUpRows } from './embedding_lookup.js';
import { mlpRows } from './gated_mlp.js';
import { linear, type NormBefore } from './linear.js';
import { mixTokens } from './mamba2_mixer.js';
import type { Runtime } from './runtime.js';
import { attend } from './sliding_window_attention.js';
import type { AttentionAddresses, StepPlan } from './step_plan.js';
import type { RingBuffers, StepStates } from './step_states.js';
import { withTemporaries } from './temporaries.js';

/** Addresses, a row each: what a step reads and writes besides states. */
export interface StepBuffers {
  /** int32: the token fed to the row, then the one chosen. */
  tokens: number;
  /** int32: tokens that the row has seen. */
  positions: number;
  /** dModel numbers: the residual stream. */
  hidden: number;
  logits: number;
  /** struct Choice of sampling.cu, and the chosen token for the host. */
  choices: number;
  told: number;
}

/** @param chooses whether the step ends with the choice of a token, or with the logits */
export function launchStep(
  runtime: Runtime,
  plan: StepPlan,
  states: StepStates,
  buffers: StepBuffers,
  rows: number,
  chooses: boolean,
): void {
  const { hidden, tokens, positions, logits } = buffers;
  const { embedding, head, dModel, vocabulary, vocabSize } = plan;
  lookUpRows(runtime, {
    table: embedding.weight,
    attrs: embedding.attrs,
    ids: tokens,
    rows,
    y: hidden,
  });
  plan.blocks.forEach((block, i) => {
    const { norm } = block;
    const state = states.blocks[i];
    // Each thread reads the residual before it writes it, and nobody else reads it by then.
    const stream = { x: hidden, norm, residual: hidden, y: hidden };
    if (block.kind === 'mlp') {
      mlpRows(runtime, block.weights, { ...stream, rows });
    } else if (block.kind === 'mamba2' && state && 'conv' in state) {
      mixTokens(runtime, block.weights, {
        ...stream,
        batch: rows,
        length: 1,
        convBefore: state.conv.address,
        convAfter: state.conv.address,
        ssmBefore: state.ssm.address,
        ssmAfter: state.ssm.address,
      });
    } else if (block.kind === 'attention' && state && 'k' in state) {
      const capacity = states.slots(block.weights);
      attendTokens(runtime, block.weights, state, { ...stream, rows, positions, capacity, dModel });
    }
  });
  linear(runtime, {
    x: hidden,
    xStride: dModel,
    rows,
    weight: head.weight,
    attrs: head.attrs,
    bias: head.bias,
    norm: plan.normF,
    y: logits,
    yStride: vocabulary,
  });
  if (chooses) {
    runtime.launch(
      'sample_tokens',
      { grid: [rows], block: 1024 },
      [logits, buffers.choices, tokens, buffers.told, positions],
      [vocabSize, vocabulary],
    );
  } else {
    const grid = [Math.ceil(rows / 256)] as const;
    runtime.launch('advance_positions', { grid, block: 256 }, [positions], [rows, 1]);
  }
}

/** Norm and in_proj; attention, the ring moved on; out_proj and residual. */
function attendTokens(
  runtime: Runtime,
  { inProj, outProj, heads, kvHeads, headDim, window, scale, bf16Ring }: AttentionAddresses,
  ring: RingBuffers,
  run: {
    x: number;
    norm: NormBefore;
    residual: number;
    y: number;
    rows: number;
    positions: number;
    capacity: number;
    dModel: number;
  },
): void {
  const { rows, dModel, capacity } = run;
  const width = heads * headDim;
  const projection = width + 2 * kvHeads * headDim;
  withTemporaries(runtime, (temporaries) => {
    const qkv = temporaries.allocate(rows * projection * 4);
    linear(runtime, {
      x: run.x,
      xStride: dModel,
      rows,
      norm: run.norm,
      ...inProj,
      y: qkv,
      yStride: projection,
    });
    const y = temporaries.allocate(rows * width * 4);
    attend(runtime, {
      q: qkv,
      k: qkv + width * 4,
      v: qkv + (width + kvHeads * headDim) * 4,
      ringK: ring.k.address,
      ringV: ring.v.address,
      writeK: ring.k.address,
      writeV: ring.v.address,
      positions: run.positions,
      y,
      qStride: projection,
      kvStride: projection,
      yStride: width,
      batch: rows,
      length: 1,
      ...{ heads, kvHeads, headDim, capacity, window, scale, bf16Ring },
      span: Math.min(window, capacity),
    });
    linear(runtime, {
      x: y,
      xStride: width,
      rows,
      ...outProj,
      residual: run.residual,
      y: run.y,
      yStride: dModel,
    });
  });
}
