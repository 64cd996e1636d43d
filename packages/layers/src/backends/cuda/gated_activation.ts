// The launches of the gated activation and its gradient.
import type { ActivationCall } from '../native/calls.js';
import type { ActivationGradCall } from '../native/gradient_calls.js';
import { formatIds } from './layout.js';
import { activationIds } from './linear.js';
import { overElements } from './reductions.js';
import { MOST_GRID_Y, type Runtime } from './runtime.js';

export function activate(runtime: Runtime, call: ActivationCall): void {
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

export function activateGrad(runtime: Runtime, call: ActivationGradCall): void {
  const { x, multiplier, dy, dx, dmultiplier, size, activation } = call;
  runtime.launch(
    'gated_activation_grad',
    overElements(runtime, size),
    [x, multiplier, dy, dx, dmultiplier],
    [size, activationIds[activation]],
  );
}
