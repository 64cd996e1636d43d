// The launches that pack, unpack and convert rows of a matrix.
import { isIntFormat } from '../../weights/packed_weight.js';
import type { StoredDType } from '../../weights/packing.js';
import { numberBytes } from '../native/activations.js';
import type { ConvertCall } from '../native/ops.js';
import { formatIds, layoutOf, PACKED_F16, type WeightShape } from './layout.js';
import type { Runtime } from './runtime.js';

const storedIds: Record<StoredDType, number> = {
  F32: formatIds.f32,
  BF16: formatIds.bf16,
  F16: formatIds.f16,
};

/**
 * Packs `count` stored rows at `from` as rows `first` and following of the weight at `to`.
 *
 * @param weights of the columns' squared errors in int4; 0 if all are 1
 */
export function packRows(
  runtime: Runtime,
  from: number,
  dtype: StoredDType,
  to: number,
  weight: WeightShape,
  first: number,
  count: number,
  weights: number,
): void {
  const { pitch, group, groups, paramsAt } = layoutOf(weight);
  const [, columns = 0] = weight.shape;
  const isInt = isIntFormat(weight.format);
  runtime.launch(
    isInt ? 'pack_int' : 'pack_float',
    isInt ? { grid: [count, Math.ceil(groups / 128)], block: 128 } : { grid: [count], block: 256 },
    [from, to + first * pitch, to + paramsAt + first * groups * 4, weights],
    [columns, pitch, storedIds[dtype], formatIds[weight.format], group, groups],
  );
}

/** Writes rows `first` and following of the weight at `from`, as f32, to `to`. */
export function unpackRows(
  runtime: Runtime,
  from: number,
  weight: WeightShape,
  to: number,
  first: number,
  count: number,
): void {
  const { pitch, group, groups, paramsAt } = layoutOf(weight);
  const [rows = 0, columns = 0] = weight.shape;
  runtime.launch(
    'unpack_rows',
    { grid: [count], block: 256 },
    [from, from + paramsAt, 0, to],
    [
      ...[pitch, rows, columns, columns, formatIds[weight.format], group, groups],
      ...[weight.layout === PACKED_F16 ? 1 : 0, first, formatIds.f32],
    ],
  );
}

/** Converts contiguous rows, such as a KV cache's tokens. */
export function convertRows(runtime: Runtime, call: ConvertCall): void {
  const { from, fromFormat, to, toFormat, rows, columns } = call;
  runtime.launch(
    'unpack_rows',
    { grid: [rows], block: 256 },
    [from, from, 0, to],
    [
      ...[columns * numberBytes[fromFormat], rows, columns, columns, formatIds[fromFormat]],
      ...[1, 0, 0, 0, formatIds[toFormat]],
    ],
  );
}
