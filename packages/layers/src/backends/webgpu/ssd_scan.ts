// The launch of the state-space scan.
import type { Address } from '../native/address.js';
import type { ScanCall } from '../native/calls.js';
import { withTemporaries } from '../native/memory.js';
import type { WebGpuRuntime } from './runtime.js';
import { LANES, scanKernel } from './ssd_scan.wgsl.js';

/** The largest f32: WGSL has no infinity to compare with. */
const MOST = 3.4028234e38;

export function scan(runtime: WebGpuRuntime, call: ScanCall): void {
  if (buffersOf(runtime, call) <= runtime.device.limits.maxStorageBuffersPerShaderStage) {
    launchScan(runtime, call);
    return;
  }
  // A device with WebGPU's default limits binds 8: the small inputs share one.
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
    launchScan(runtime, { ...call, A: nearA, D: nearD, dtBias: nearBias });
  });
}

/** Buffers that the kernel binds. In a mixer several inputs share one. */
function buffersOf({ buffers }: WebGpuRuntime, call: ScanCall): number {
  const { x, B, C, dt, A, D, dtBias, before, after, y } = call;
  const given = [x, B, C, dt, A, D, dtBias, before, after, y].filter((address) => address !== 0);
  return new Set(given.map((address) => buffers.at(address).buffer)).size;
}

function launchScan(runtime: WebGpuRuntime, call: ScanCall): void {
  const { batch, length, heads, headDim, dState, groups } = call;
  const { x, B, C, dt, A, D, dtBias, before, after, y } = call;
  const channels = runtime.workgroup / LANES;
  runtime.launch(
    scanKernel(dState, channels),
    [Math.ceil(headDim / channels), heads, batch],
    { x, B, C, dt, A, D, dt_bias: dtBias, before, after, y },
    {
      length,
      heads,
      head_dim: headDim,
      d_state: dState,
      groups,
      x_stride: call.xStride,
      b_stride: call.bStride,
      c_stride: call.cStride,
      dt_stride: call.dtStride,
      y_stride: call.yStride,
      d_per_channel: call.dPerChannel ? 1 : 0,
      dt_softplus: call.dtSoftplus ? 1 : 0,
      dt_min: call.dtMin,
      dt_max: Math.min(call.dtMax, MOST),
    },
  );
}
