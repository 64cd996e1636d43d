// The scan's launch.
import type { ScanCall } from '../native/calls.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';

/** The arguments that the scan and its gradient share. */
export function setScanArguments(
  { args, numbers }: Runtime,
  call: Omit<ScanCall, 'gate' | 'gateStride' | 'rounds' | 'format'>,
): void {
  args[0] = call.x;
  args[1] = call.xStride;
  args[2] = call.B;
  args[3] = call.bStride;
  args[4] = call.C;
  args[5] = call.cStride;
  args[6] = call.dt;
  args[7] = call.dtStride;
  args[8] = call.A;
  args[9] = call.D;
  args[10] = call.dPerChannel ? 1 : 0;
  args[11] = call.dtBias;
  args[12] = call.y;
  args[13] = call.yStride;
  args[14] = call.before;
  args[15] = call.after;
  args[16] = call.length;
  args[17] = call.heads;
  args[18] = call.headDim;
  args[19] = call.dState;
  args[20] = call.groups;
  args[21] = call.dtSoftplus ? 1 : 0;
  numbers[22] = call.dtMin;
  numbers[23] = call.dtMax;
}

export function scan(runtime: Runtime, call: ScanCall): void {
  setScanArguments(runtime, call);
  runtime.args[24] = call.gate ?? 0;
  runtime.args[25] = call.gateStride ?? 0;
  const units = call.batch * call.heads;
  const stateSize = call.headDim * call.dState;
  const padded = Math.ceil(call.length / 4) * 4;
  const scratch = (2 * padded + (call.after === 0 ? stateSize : 0)) * 4;
  const chunk = runtime.chunk(2 * stateSize * call.length);
  runtime.run(KernelId.SsdScan, units, chunk, scratch);
}
