// The launches of the embedding lookup.
import type { LookupCall } from '../native/calls.js';
import { lookUpKernel } from './embedding_lookup.wgsl.js';
import { gridRows } from './grid.js';
import { layoutOf, PACKED_F16, rowBytes, weightParts } from './layout.js';
import type { WebGpuRuntime } from './runtime.js';

const NAN_BITS = 0x7fc00000;

/** @param call without ids: rows `start` and following of the table */
export function lookUp(
  runtime: WebGpuRuntime,
  { table, attrs, ids, rows, y, start = 0 }: LookupCall & { start?: number },
): void {
  const [tableRows = 0, columns = 0] = attrs.shape;
  const { pitch, group, groups } = layoutOf(attrs);
  const most = runtime.device.limits.maxStorageBufferBindingSize;
  for (const { first, count, weight, params } of weightParts(table, attrs, most)) {
    runtime.launch(
      lookUpKernel(attrs.format),
      [Math.ceil(columns / 64), gridRows(runtime, rows)],
      { w: weight, params, ids, y },
      {
        rows,
        columns,
        table_rows: tableRows,
        start,
        first,
        count,
        pitch: pitch / 4,
        group,
        groups,
        f16_params: attrs.layout === PACKED_F16 ? 1 : 0,
        not_a_number: NAN_BITS,
      },
      rowBytes(layoutOf(attrs), rows),
    );
  }
}
