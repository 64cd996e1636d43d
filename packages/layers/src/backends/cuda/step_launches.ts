// The launches of a decode step, in order: embedding, blocks, head, and the choice of the next token.
import { attendTokens } from './attention_mixer.js';
import { lookUpRows } from './embedding_lookup.js';
import { mlpRows } from './gated_mlp.js';
import { linear } from './linear.js';
import { mixTokens } from './mamba2_mixer.js';
import type { Runtime } from './runtime.js';
import type { StepPlan } from './step_plan.js';
import type { StepStates } from './step_states.js';

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
      mlpRows(runtime, block.weights, { ...stream, rows, length: 1 });
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
      const { weights, bf16Ring } = block;
      const capacity = states.slots(weights);
      const { k, v } = state;
      attendTokens(runtime, weights, {
        ...stream,
        batch: rows,
        length: 1,
        ...{ ringK: k.address, ringV: v.address, writeK: k.address, writeV: v.address },
        ...{ positions, capacity, bf16Ring },
        span: Math.min(weights.window, capacity),
      });
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
