// The launches of the embedding lookup's gradient: rows are added up in the order of the ids.
import type { LookupGradCall } from '../native/gradient_calls.js';
import { overElements } from './reductions.js';
import type { Runtime } from './runtime.js';

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
