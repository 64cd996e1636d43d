// EmbeddingLookup: rows of the same packed table that the head multiplies by.
import type { PackedWeightAttrs } from '../../weights/packed_weight.js';
import { cudaKernel } from './kernel.js';
import { checkLayout, formatIds, layoutOf, PACKED_F16 } from './layout.js';
import type { Runtime } from './runtime.js';

export interface LookupCall {
  /** Addresses of the packed table, of int32 ids, and of their rows as f32. */
  table: number;
  attrs: PackedWeightAttrs;
  ids: number;
  rows: number;
  y: number;
}

export function lookUpRows(runtime: Runtime, { table, attrs, ids, rows, y }: LookupCall): void {
  const { format, layout, shape } = attrs;
  const [tableRows = 0, columns = 0] = shape;
  const { pitch, group, groups, paramsAt } = layoutOf(attrs);
  runtime.launch(
    'unpack_rows',
    { grid: [rows], block: 256 },
    [table, table + paramsAt, ids, y],
    [
      ...[pitch, tableRows, columns, columns, formatIds[format], group, groups],
      ...[layout === PACKED_F16 ? 1 : 0, 0, formatIds.f32],
    ],
  );
}

export const embeddingLookupKernel = cudaKernel(
  'EmbeddingLookup',
  ({ ids, weight }, attrs, backend) => {
    checkLayout('EmbeddingLookup', attrs.weight);
    const [, columns = 0] = attrs.weight.shape;
    const y = backend.allocate([...ids.shape, columns]);
    lookUpRows(backend.runtime, {
      table: backend.address(weight),
      attrs: attrs.weight,
      ids: backend.address(ids),
      rows: ids.size,
      y: y.address,
    });
    return y.info;
  },
);
