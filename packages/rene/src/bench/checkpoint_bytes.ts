// How many bytes of weights a decoded token must read: the floor of its time on a CPU.
import type { WeightFormat } from '@rene-js/layers';
import { modelParameters } from '../architecture.js';
import type { ReneConfig } from '../config.js';

/** Codes, and for the integer formats a 16-bit scale and a 16-bit offset for each group of 64. */
const bitsPerWeight: Record<WeightFormat, number> = {
  f32: 32,
  bf16: 16,
  f16: 16,
  int8: 8 + 32 / 64,
  int4: 4 + 32 / 64,
};

/** Bytes of all matrices, once; of an embedding that is not the head too, a row is read only. */
export function checkpointBytes(config: ReneConfig, dtype: WeightFormat): number {
  const weights = modelParameters(config)
    .filter(({ kind }) => kind === 'matrix')
    .filter(({ name }) => config.tieWordEmbeddings || !name.endsWith('embedding.weight'))
    .reduce((sum, { shape: [rows = 0, columns = 0] }) => sum + rows * columns, 0);
  return (weights * bitsPerWeight[dtype]) / 8;
}
