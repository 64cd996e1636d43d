// How many sequences' states fit in memory.
import type { ReneConfig } from './config.js';

const STATE_BYTES = 2 ** 30;
const MAX_ROWS = 64;

export interface RowsThatFitOptions {
  /** Memory for the states. Default: 1 GiB. */
  bytes?: number;
  /** Tokens in the KV cache, as far as the window allows. Default: 512. */
  tokens?: number;
}

/** Batch size whose states fit, from 1 to 64. */
export function rowsThatFit(
  config: ReneConfig,
  { bytes = STATE_BYTES, tokens = 512 }: RowsThatFitOptions = {},
): number {
  const rows = Math.floor(Math.min(bytes, STATE_BYTES) / stateBytes(config, tokens));
  return Math.max(1, Math.min(MAX_ROWS, rows));
}

/** Bytes of one sequence's recurrent state. */
function stateBytes(config: ReneConfig, tokens: number): number {
  const { nLayer, ssm, attn, attnLayerIdx, mlpLayerIdx } = config;
  const ssdLayers = nLayer - attnLayerIdx.length - mlpLayerIdx.length;
  const conv = (ssm.dSsm + 2 * ssm.nGroups * ssm.dState) * ssm.dConv;
  const perToken = attn ? 2 * attn.numHeadsKv * attn.headDim : 0;
  const held = Math.min(attn?.slidingWindowLength ?? tokens, tokens);
  return 4 * (ssdLayers * (ssm.dSsm * ssm.dState + conv) + attnLayerIdx.length * perToken * held);
}
