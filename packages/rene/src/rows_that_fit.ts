// The batch size whose states fit in memory.
import { blueprintOf } from './architectures/index.js';
import type { ModelConfig } from './architectures/model_config.js';

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
  config: ModelConfig,
  { bytes = STATE_BYTES, tokens = 512 }: RowsThatFitOptions = {},
): number {
  const rows = Math.floor(Math.min(bytes, STATE_BYTES) / blueprintOf(config).stateBytes(tokens));
  return Math.max(1, Math.min(MAX_ROWS, rows));
}
