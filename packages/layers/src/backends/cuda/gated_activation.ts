// GatedActivation, as a kernel and on addresses.
import type { Activation } from '../../kernel_names.js';
import { cudaKernel, optionalAddress } from './kernel.js';
import { activationIds } from './linear.js';
import { MOST_GRID_Y, type Runtime } from './runtime.js';

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

export function activateRows(runtime: Runtime, call: ActivationCall): void {
  runtime.launch(
    'activate_rows',
    { grid: [Math.ceil(call.columns / 256), Math.min(call.rows, MOST_GRID_Y)], block: 256 },
    [call.x, call.multiplier, call.y],
    [
      ...[call.xStride, call.multiplierStride, call.yStride, call.rows, call.columns],
      activationIds[call.activation],
    ],
  );
}

export const gatedActivationKernel = cudaKernel(
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
