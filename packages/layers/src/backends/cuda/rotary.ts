// The launch of the rotary position embedding.
import type { RotaryCall } from '../native/calls.js';
import type { Runtime } from './runtime.js';

export function rotate(runtime: Runtime, call: RotaryCall): void {
  const { x, frequencies, positions, batch, length, half } = call;
  runtime.launch(
    call.format === 'bf16' ? 'rotary_bf16' : 'rotary',
    { grid: [length, batch], block: Math.min(128, Math.ceil(half / 32) * 32) },
    [x, frequencies, positions],
    [call.xStride, length, call.heads, call.headDim, half],
  );
}
