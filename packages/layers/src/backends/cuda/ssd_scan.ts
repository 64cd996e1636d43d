// The launch of the scan: the recurrence, or chunks on the tensor cores.
import { BackendError } from '../../errors.js';
import type { ScanCall } from '../native/calls.js';
import { MANY_TOKENS } from './activations.js';
import type { Launch } from './device.js';
import type { Runtime } from './runtime.js';

/** Rows of a head's state per block; see ssd_scan.cu. */
const WARPS = 8;
/** State sizes of the recurrence kernels. */
const STATE_SIZES = [32, 64, 128, 256, 512];
/** State sizes of the tensor-core kernels, and tokens and channels per block; see ssd_chunks.cu. */
const CHUNKED_SIZES = [64, 128];
const CHUNK_TOKENS = 64;
const CHUNK_CHANNELS = 32;

export function scan(runtime: Runtime, call: ScanCall): void {
  const { heads, headDim, dState } = call;
  const type = call.format === 'bf16' ? '_bf16' : '';
  const chunked = call.rounds && call.length >= MANY_TOKENS;
  const columns = chunked ? CHUNKED_SIZES.find((n) => n >= dState) : undefined;
  if (columns !== undefined) {
    launchScan(runtime, call, `ssd_chunks_${columns}${type}`, {
      grid: [Math.ceil(headDim / CHUNK_CHANNELS), heads, call.batch],
      block: 128,
      sharedBytes:
        2 * (2 * CHUNK_TOKENS + CHUNK_CHANNELS) * (columns + 8) +
        4 * CHUNK_TOKENS * (CHUNK_CHANNELS + 8),
    });
    return;
  }
  const size = STATE_SIZES.find((n) => n >= dState);
  if (size === undefined) {
    throw new BackendError(`dState: the scan on 'cuda' supports up to 512, found ${dState}`);
  }
  const grid = [Math.ceil(headDim / WARPS), heads, call.batch] as const;
  launchScan(runtime, call, `ssd_scan_${size}${type}`, { grid, block: WARPS * 32 });
}

function launchScan(runtime: Runtime, call: ScanCall, kernel: string, launch: Launch): void {
  const { heads, headDim, dState } = call;
  runtime.launch(
    kernel,
    launch,
    [
      ...[call.x, call.B, call.C, call.dt, call.A, call.D, call.dtBias, call.before],
      ...[call.y, call.after],
    ],
    [
      ...[call.xStride, call.bStride, call.cStride, call.dtStride, call.yStride],
      ...[call.length, heads, headDim, dState, call.groups],
      ...[call.dPerChannel ? 1 : 0, call.dtSoftplus ? 1 : 0],
    ],
    [call.dtMin, call.dtMax],
  );
}
