// The launch of the state-space scan.
import type { ScanCall } from '../native/calls.js';
import type { WebGpuRuntime } from './runtime.js';
import { LANES, scanKernel } from './ssd_scan.wgsl.js';

/** The largest f32: WGSL has no infinity to compare with. */
const MOST = 3.4028234e38;

export function scan(runtime: WebGpuRuntime, call: ScanCall): void {
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
