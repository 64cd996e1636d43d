// The scan's launch. A unit of work is a head of a sequence.
import { KernelId } from '../../../assembly/kernel_ids.js';
import { ScanArg } from '../../../assembly/ssd_scan/args.js';
import type { ScanCall } from '../native/calls.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';

export const scanArguments = new ArgumentLayout(ScanArg, ['dtMin', 'dtMax']);

export function scan(runtime: Runtime, call: ScanCall): void {
  const { gate = 0, gateStride = 0, batch, length, heads } = call;
  scanArguments.write(runtime, call, { gate, gateStride });
  const stateSize = call.headDim * call.dState;
  const padded = Math.ceil(length / 4) * 4;
  const scratch = (2 * padded + (call.after === 0 ? stateSize : 0)) * 4;
  runtime.run(KernelId.SsdScan, batch * heads, runtime.chunk(2 * stateSize * length), scratch);
}
