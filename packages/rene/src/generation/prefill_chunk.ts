// How many tokens of a prompt are read before other work gets a turn.
import { isPageThread } from '@rene-js/layers/internal';
import type { GenerationModel } from './generation_model.js';

/**
 * Maximum number of tokens per chunk. Chunks end at its multiples, so that their borders, and the result,
 * depend on positions alone.
 *
 * - `alone`: generate, prefill and beam search, which have nothing else to do meanwhile.
 * - `interleaved`: the server, which decodes other sequences between two chunks, and a page's worker, which receives
 *   aborts there. A chunk of 512 tokens lets them wait four times as long: 2.4 s and not 0.6 s on one core, for 200 million
 *   int8 weights.
 */
export const PREFILL_CHUNK = { alone: 512, interleaved: 128 } as const;

/** Weights times tokens that take some 20 ms on one core. */
const WORK_OF_A_FRAME = 2e8;

/**
 * The chunk for a model. On a page's thread, which has a turn between two layers, it has as many tokens as a layer
 * reads in a frame.
 */
export function chunkFor({ config, parameters }: GenerationModel): number {
  if (Reflect.has(globalThis, 'WorkerGlobalScope')) return PREFILL_CHUNK.interleaved;
  if (!isPageThread()) return PREFILL_CHUNK.alone;
  let weights = 1;
  for (const { shape } of parameters?.values() ?? []) {
    weights += shape.reduce((size, axis) => size * axis, 1);
  }
  const tokens = 2 ** Math.floor(Math.log2((WORK_OF_A_FRAME * config.nLayer) / weights));
  return Math.min(Math.max(tokens, 1), PREFILL_CHUNK.interleaved);
}
