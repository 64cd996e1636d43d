// GatedActivation, as a kernel and on addresses.
import type { Activation } from '../../kernel_names.js';
import { optionalAddress, simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import { activationIds } from './linear.js';
import type { Runtime } from './runtime.js';

export interface ActivationCall {
  /** Addresses, and numbers from one row to the next; multiplier 0 for none. */
  x: number;
  xStride: number;
  multiplier: number;
  multiplierStride: number;
  y: number;
  yStride: number;
  rows: number;
  columns: number;
  activation: Activation;
}

/** Columns of a unit; see assembly/norm.ts. */
const SPAN = 1024;

export function activateRows(runtime: Runtime, call: ActivationCall): void {
  const { args } = runtime;
  args[0] = call.x;
  args[1] = call.xStride;
  args[2] = call.multiplier;
  args[3] = call.multiplierStride;
  args[4] = call.y;
  args[5] = call.yStride;
  args[6] = call.columns;
  args[7] = activationIds[call.activation];
  const units = call.rows * Math.ceil(call.columns / SPAN);
  const cost = Math.min(SPAN, call.columns) * 12;
  runtime.run(KernelId.GatedActivation, units, runtime.chunk(cost));
}

export const gatedActivationKernel = simdKernel(
  'GatedActivation',
  ({ x, multiplier }, { activation }, backend) => {
    const y = backend.allocate(x.shape);
    const columns = x.shape.at(-1) ?? 1;
    activateRows(backend.runtime, {
      x: backend.address(x),
      xStride: columns,
      multiplier: optionalAddress(backend, multiplier),
      multiplierStride: columns,
      y: y.address,
      yStride: columns,
      rows: x.size / columns,
      columns,
      activation,
    });
    return y.info;
  },
);
