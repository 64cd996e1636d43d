// Rows of a matrix in and out of its packed form, on addresses.
import { isIntFormat } from '../../weights/packed_weight.js';
import type { StoredDType } from '../../weights/packing.js';
import type { Address } from '../native/address.js';
import { gridRows } from './grid.js';
import { layoutOf, type WeightShape } from './layout.js';
import { packFloatKernel, packIntKernel } from './pack_rows.wgsl.js';
import type { WebGpuRuntime } from './runtime.js';

/** Packs `count` stored rows at `source` as rows `first` and following of the weight at `to`. */
export function packRows(
  runtime: WebGpuRuntime,
  source: Address,
  dtype: StoredDType,
  to: Address,
  weight: WeightShape,
  first: number,
  count: number,
): void {
  const { pitch, group, groups, paramsAt } = layoutOf(weight);
  const { format } = weight;
  const [, columns = 0] = weight.shape;
  const words = pitch / 4;
  const scalars = { rows: count, columns, words, group, groups };
  const packed = to + first * pitch;
  if (isIntFormat(format)) {
    const params = to + paramsAt + first * groups * 4;
    const grid = [Math.ceil(groups / 64), gridRows(count)] as const;
    runtime.launch(packIntKernel(dtype, format), grid, { source, packed, params }, scalars);
  } else {
    const grid = [Math.ceil(words / 64), gridRows(count)] as const;
    runtime.launch(packFloatKernel(dtype, format), grid, { source, packed }, scalars);
  }
}
