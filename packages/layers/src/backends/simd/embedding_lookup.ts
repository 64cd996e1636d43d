// The launches of the embedding lookup and its gradient.
import type { LookupCall } from '../native/calls.js';
import type { LookupGradCall } from '../native/gradient_calls.js';
import { KernelId } from './kernel_ids.js';
import { unpackRows } from './packing.js';
import type { Runtime } from './runtime.js';

export function lookUp(runtime: Runtime, { table, attrs, ids, rows, y }: LookupCall): void {
  unpackRows(runtime, table, attrs, { ids, count: rows, to: y });
}

/** Rows are added up in the order of the ids. */
export function lookUpGrad(runtime: Runtime, call: LookupGradCall): void {
  const { ids, count, dy, dweight, rows, columns } = call;
  runtime.floats(dweight, rows * columns).fill(0);
  runtime.args.set([ids, dy, dweight, count, columns, rows]);
  const units = Math.ceil(columns / 64);
  runtime.run(KernelId.EmbeddingLookupGrad, units, runtime.chunk(count * 64));
}
