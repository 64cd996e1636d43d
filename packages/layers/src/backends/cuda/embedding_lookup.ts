// The launches of the embedding lookup and its gradient.
import type { LookupCall } from '../native/calls.js';
import type { LookupGradCall } from '../native/gradient_calls.js';
import { formatIds, layoutOf, PACKED_F16 } from './layout.js';
import { overElements } from './reductions.js';
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

/** Gradients of repeated ids are summed in the order of the ids. */
export function lookUpGrad(runtime: Runtime, call: LookupGradCall): void {
  const { ids, count, dy, dweight, rows, columns } = call;
  const size = rows * columns;
  runtime.launch('fill', overElements(runtime, size), [dweight], [size, 0]);
  runtime.launch(
    'embedding_lookup_grad',
    { grid: [count, Math.ceil(columns / 256)], block: 256 },
    [ids, dy, dweight],
    [count, rows, columns],
  );
}
