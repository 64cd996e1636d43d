// Rows of a matrix in and out of its packed form, on addresses.
import { isIntFormat } from '../../weights/packed_weight.js';
import { type StoredDType, storedBytes } from '../../weights/packing.js';
import type { Address } from '../native/address.js';
import { withTemporaries } from '../native/memory.js';
import { gridRows } from './grid.js';
import { layoutOf, type WeightShape } from './layout.js';
import { packFloatKernel, packIntKernel } from './pack_rows.wgsl.js';
import type { WebGpuRuntime } from './runtime.js';

/**
 * Packs `count` stored rows at `source` as rows `first` and following of the weight at `to`.
 *
 * @param weights of the columns' squared errors in int4; 0 if all are 1
 */
export function packRows(
  runtime: WebGpuRuntime,
  source: Address,
  dtype: StoredDType,
  to: Address,
  weight: WeightShape,
  first: number,
  count: number,
  weights: Address,
): void {
  const { pitch, groups, paramsAt, bytes } = layoutOf(weight);
  const [, columns = 0] = weight.shape;
  const packed = to + first * pitch;
  const params = to + paramsAt + first * groups * 4;
  const most = runtime.device.limits.maxStorageBufferBindingSize;
  if (bytes <= most) {
    launchPacking(runtime, source, dtype, weight, count, { packed, params }, weights);
    return;
  }
  // Rows and parameters are too far apart for one binding, and a buffer is written through one only.
  const rowBytes = columns * storedBytes[dtype];
  // Four rows of any columns are whole words.
  const each = Math.max(4, Math.floor((most - 256) / Math.max(rowBytes, pitch) / 4) * 4);
  for (let row = 0; row < count; row += each) {
    const rows = Math.min(each, count - row);
    withTemporaries(runtime.pool, (temporaries) => {
      const own = {
        packed: temporaries.allocate(rows * pitch),
        params: temporaries.allocate(rows * groups * 4),
      };
      launchPacking(runtime, source + row * rowBytes, dtype, weight, rows, own, weights);
      runtime.copy(packed + row * pitch, own.packed, rows * pitch);
      runtime.copy(params + row * groups * 4, own.params, rows * groups * 4);
    });
  }
}

function launchPacking(
  runtime: WebGpuRuntime,
  source: Address,
  dtype: StoredDType,
  weight: WeightShape,
  count: number,
  to: { packed: Address; params: Address },
  weights: Address,
): void {
  const { pitch, group, groups } = layoutOf(weight);
  const { format } = weight;
  const [, columns = 0] = weight.shape;
  const words = pitch / 4;
  const scalars = { rows: count, columns, words, group, groups };
  const { packed, params } = to;
  if (isIntFormat(format)) {
    const grid = [Math.ceil(groups / 64), gridRows(runtime, count)] as const;
    const memory = { source, packed, params, weights };
    runtime.launch(packIntKernel(dtype, format), grid, memory, scalars);
  } else {
    const grid = [Math.ceil(words / 64), gridRows(runtime, count)] as const;
    runtime.launch(packFloatKernel(dtype, format), grid, { source, packed }, scalars);
  }
}
