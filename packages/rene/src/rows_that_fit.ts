// How many texts a model can hold the states of at once.
import type { ReneConfig } from './config.js';

const STATE_BYTES = 2 ** 30;
const MAX_ROWS = 64;

/** Rows of a batch whose states take at most 1 GiB; at least 1, at most 64. */
export function rowsThatFit(config: ReneConfig): number {
  return Math.max(1, Math.min(MAX_ROWS, Math.floor(STATE_BYTES / stateBytes(config))));
}

/** Bytes of one row's recurrent state, with the attention's keys and values of 512 tokens. */
function stateBytes({ nLayer, ssm, attn, attnLayerIdx, mlpLayerIdx }: ReneConfig): number {
  const ssdLayers = nLayer - attnLayerIdx.length - mlpLayerIdx.length;
  const conv = (ssm.dSsm + 2 * ssm.nGroups * ssm.dState) * ssm.dConv;
  const perToken = attn ? 2 * attn.numHeadsKv * attn.headDim : 0;
  const tokens = Math.min(attn?.slidingWindowLength ?? 512, 512);
  return 4 * (ssdLayers * (ssm.dSsm * ssm.dState + conv) + attnLayerIdx.length * perToken * tokens);
}
