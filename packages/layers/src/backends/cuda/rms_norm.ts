// The RMS norm's launch, gated or not.
import type { NormCall } from '../native/calls.js';
import { formatIds } from './layout.js';
import type { Runtime } from './runtime.js';

export function norm(runtime: Runtime, call: NormCall): void {
  const groups = call.columns / call.groupSize;
  const block = Math.min(512, Math.max(32, Math.ceil(call.groupSize / 128) * 32));
  runtime.launch(
    call.xFormat === 'bf16' ? 'norm_rows_bf16' : 'norm_rows',
    { grid: [call.rows, groups], block },
    [call.x, call.z ?? 0, call.weight, call.y],
    [
      ...[call.xStride, call.zStride ?? 0, call.yStride, call.groupSize],
      ...[call.normBeforeGate ? 1 : 0, formatIds[call.yFormat ?? 'f32']],
    ],
    [call.eps],
  );
}
