// GatedActivation, as a kernel and on addresses.
import type { Activation } from '../../kernel_names.js';
import type { ActivationFormat, NumberFormat } from './activations.js';
import { cudaKernel, optionalAddress } from './kernel.js';
import { formatIds } from './layout.js';
import { activationIds } from './linear.js';
import { MOST_GRID_Y, type Runtime } from './runtime.js';

export interface ActivationCall {
  /** Addresses, and numbers from one row to the next; multiplier 0 for none. */
  x: number;
  xStride: number;
  /** Of x and the multiplier; f32 unless given. */
  xFormat?: ActivationFormat;
  multiplier: number;
  multiplierStride: number;
  y: number;
  yStride: number;
  /** f32 unless given. */
  yFormat?: NumberFormat;
  rows: number;
  columns: number;
  activation: Activation;
}

export function activateRows(runtime: Runtime, call: ActivationCall): void {
  runtime.launch(
    call.xFormat === 'bf16' ? 'activate_rows_bf16' : 'activate_rows',
    { grid: [Math.ceil(call.columns / 256), Math.min(call.rows, MOST_GRID_Y)], block: 256 },
    [call.x, call.multiplier, call.y],
    [
      ...[call.xStride, call.multiplierStride, call.yStride, call.rows, call.columns],
      ...[activationIds[call.activation], formatIds[call.yFormat ?? 'f32']],
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
