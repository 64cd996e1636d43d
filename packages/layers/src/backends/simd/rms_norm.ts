// The RMS norm's launch, gated or not.
import type { NormCall } from '../native/calls.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';

export function norm(runtime: Runtime, call: NormCall): void {
  const { args, numbers } = runtime;
  args[0] = call.x;
  args[1] = call.xStride;
  args[2] = call.z ?? 0;
  args[3] = call.zStride ?? 0;
  args[4] = call.weight;
  args[5] = call.y;
  args[6] = call.yStride;
  args[7] = call.columns;
  args[8] = call.groupSize;
  numbers[9] = call.eps;
  args[10] = call.normBeforeGate ? 1 : 0;
  runtime.run(KernelId.RmsNorm, call.rows, runtime.chunk(call.columns * 8));
}
