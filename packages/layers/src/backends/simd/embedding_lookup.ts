// The launches of the embedding lookup and its gradient.
import { LookupGradArg } from '../../../assembly/embedding_lookup/args.js';
import { KernelId } from '../../../assembly/kernel_ids.js';
import type { LookupCall } from '../native/calls.js';
import type { LookupGradCall } from '../native/gradient_calls.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';
import { unpackRows } from './unpack_rows.js';

const gradArguments = new ArgumentLayout(LookupGradArg);

export function lookUp(runtime: Runtime, { table, attrs, ids, rows, y }: LookupCall): void {
  unpackRows(runtime, table, attrs, { ids, count: rows, y });
}

/** Rows are summed in the order of the ids. A unit of work is 64 columns. */
export function lookUpGrad(runtime: Runtime, call: LookupGradCall): void {
  const { dweight, rows, columns, count } = call;
  runtime.floats(dweight, rows * columns).fill(0);
  gradArguments.write(runtime, call);
  const units = Math.ceil(columns / 64);
  runtime.run(KernelId.EmbeddingLookupGrad, units, runtime.chunk(count * 64));
}
