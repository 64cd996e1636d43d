// The launch of the state-space scan.
import type { Address } from '../native/address.js';
import type { ScanCall } from '../native/calls.js';
import { withTemporaries } from '../native/memory.js';
import type { WebGpuRuntime } from './runtime.js';
import { CHANNELS, CHUNK, chunkProductsKernel, scanChunksKernel } from './ssd_chunks.wgsl.js';
import { LANES, scanKernel } from './ssd_scan.wgsl.js';

/** The largest f32: WGSL has no infinity to compare with. */
const MOST = 3.4028234e38;

/** Shorter calls are walked token by token. */
const LEAST_CHUNKED = 16;
/** Numbers of a channel's state that fit 16 KiB of workgroup memory with the rest. */
const MOST_CHUNKED_STATE = 320;

export function scan(runtime: WebGpuRuntime, call: ScanCall): void {
  const wantsChunks = call.length >= LEAST_CHUNKED && call.dState <= MOST_CHUNKED_STATE;
  if (fits(runtime, call, wantsChunks)) {
    launchScan(runtime, call, wantsChunks);
    return;
  }
  // A device with WebGPU's default limits binds 8 buffers: the small inputs share one.
  const { heads, headDim, dPerChannel, A, D, dtBias } = call;
  const bytes = [heads * 4, D && heads * (dPerChannel ? headDim : 1) * 4, dtBias && heads * 4];
  withTemporaries(runtime.pool, (temporaries) => {
    let at = temporaries.allocate(bytes.reduce((sum, size) => sum + size));
    const [nearA = 0, nearD = 0, nearBias = 0] = [A, D, dtBias].map((source, i): Address => {
      const size = bytes[i] ?? 0;
      if (size === 0) return 0;
      runtime.copy(at, source, size);
      at += size;
      return at - size;
    });
    const near = { ...call, A: nearA, D: nearD, dtBias: nearBias };
    launchScan(runtime, near, wantsChunks && fits(runtime, near, true));
  });
}

/** Whether the device can bind the buffers of a call: those of its inputs, which may share one, and C B^T of chunks. */
function fits({ buffers, device }: WebGpuRuntime, call: ScanCall, inChunks: boolean): boolean {
  const { x, B, C, dt, A, D, dtBias, before, after, y } = call;
  const given = [x, B, C, dt, A, D, dtBias, before, after, y].filter((address) => address !== 0);
  const bound = new Set(given.map((address) => buffers.at(address).buffer)).size;
  return bound + (inChunks ? 1 : 0) <= device.limits.maxStorageBuffersPerShaderStage;
}

function launchScan(runtime: WebGpuRuntime, call: ScanCall, inChunks: boolean): void {
  const { batch, length, heads, headDim, dState, groups } = call;
  const { x, B, C, dt, A, D, dtBias, before, after, y } = call;
  const memory = { x, B, C, dt, A, D, dt_bias: dtBias, before, after, y };
  const strides = { b_stride: call.bStride, c_stride: call.cStride };
  const scalars = {
    length,
    heads,
    head_dim: headDim,
    d_state: dState,
    groups,
    x_stride: call.xStride,
    ...strides,
    dt_stride: call.dtStride,
    y_stride: call.yStride,
    d_per_channel: call.dPerChannel ? 1 : 0,
    dt_softplus: call.dtSoftplus ? 1 : 0,
    dt_min: call.dtMin,
    dt_max: Math.min(call.dtMax, MOST),
  };
  if (!inChunks) {
    const channels = runtime.workgroup / LANES;
    const grid = [Math.ceil(headDim / channels), heads, batch] as const;
    runtime.launch(scanKernel(dState, channels), grid, memory, scalars);
    return;
  }
  const chunks = Math.ceil(length / CHUNK);
  withTemporaries(runtime.pool, (temporaries) => {
    const products = temporaries.allocate(batch * chunks * groups * CHUNK * CHUNK * 4);
    const sizes = { length, columns: dState, groups, ...strides };
    runtime.launch(chunkProductsKernel, [chunks, groups, batch], { B, C, products }, sizes);
    const grid = [Math.ceil(headDim / CHANNELS), heads, batch] as const;
    const kernel = scanChunksKernel(dState, runtime.hasSubgroups);
    runtime.launch(kernel, grid, { ...memory, products }, scalars);
  });
}
