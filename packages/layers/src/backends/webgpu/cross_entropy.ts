// The launch of cross entropy.
import type { CrossEntropyCall } from '../native/calls.js';
import { crossEntropyKernel } from './cross_entropy.wgsl.js';
import { gridRows } from './grid.js';
import type { WebGpuRuntime } from './runtime.js';

export function crossEntropy(runtime: WebGpuRuntime, call: CrossEntropyCall): void {
  const { logits, targets, loss, rows, columns } = call;
  runtime.launch(
    crossEntropyKernel(runtime.hasSubgroups, runtime.workgroup),
    [1, gridRows(rows)],
    { logits, targets, loss },
    { rows, columns },
  );
}
