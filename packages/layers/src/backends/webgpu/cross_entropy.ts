// The launch of cross entropy.
import type { CrossEntropyCall } from '../native/calls.js';
import { crossEntropyKernel } from './cross_entropy.wgsl.js';
import { gridRows } from './grid.js';
import { rowsOfBinding, type WebGpuRuntime } from './runtime.js';

export function crossEntropy(runtime: WebGpuRuntime, call: CrossEntropyCall): void {
  const { rows, columns } = call;
  const most = rowsOfBinding(runtime, columns);
  for (let first = 0; first < rows; first += most) {
    const count = Math.min(most, rows - first);
    runtime.launch(
      crossEntropyKernel(runtime.hasSubgroups, runtime.workgroup),
      [1, gridRows(runtime, count)],
      {
        logits: call.logits + first * columns * 4,
        targets: call.targets + first * 4,
        loss: call.loss + first * 4,
      },
      { rows: count, columns },
    );
  }
}
