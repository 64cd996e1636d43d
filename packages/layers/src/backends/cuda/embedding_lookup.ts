// The embedding lookup's launch.
import type { LookupCall } from '../native/calls.js';
import { formatIds, layoutOf, PACKED_F16 } from './layout.js';
import type { Runtime } from './runtime.js';

export function lookUp(runtime: Runtime, { table, attrs, ids, rows, y }: LookupCall): void {
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
