// The embedding lookup's launch.
import type { LookupCall } from '../native/calls.js';
import { unpackRows } from './packing.js';
import type { Runtime } from './runtime.js';

export function lookUp(runtime: Runtime, { table, attrs, ids, rows, y }: LookupCall): void {
  unpackRows(runtime, table, attrs, { ids, count: rows, to: y });
}
