// SsdScan; its state is updated in place where that is allowed.
import { infosOf, nativeKernel, optionalAddress, stateOutput } from './kernel.js';

export const ssdScanKernel = nativeKernel('SsdScan', (inputs, attrs, tensors) => {
  const { x, dt, A, B, C, D, dtBias, state } = inputs;
  const { dtSoftplus, dtMin, dtMax, returnState } = attrs;
  const [batch = 0, length = 0, heads = 0, headDim = 0] = x.shape;
  const [, , groups = 0, dState = 0] = B.shape;
  const y = tensors.allocate(x.shape);
  const before = optionalAddress(tensors, state);
  const after = returnState
    ? stateOutput(tensors, state, [batch, heads, headDim, dState])
    : undefined;
  tensors.ops.scan({
    x: tensors.address(x),
    xStride: heads * headDim,
    B: tensors.address(B),
    bStride: groups * dState,
    C: tensors.address(C),
    cStride: groups * dState,
    dt: tensors.address(dt),
    dtStride: heads,
    A: tensors.address(A),
    D: optionalAddress(tensors, D),
    dPerChannel: D?.rank === 2,
    dtBias: optionalAddress(tensors, dtBias),
    y: y.address,
    yStride: heads * headDim,
    before,
    after: after?.address ?? 0,
    batch,
    length,
    heads,
    headDim,
    dState,
    groups,
    dtSoftplus,
    dtMin,
    dtMax,
  });
  return infosOf([y, after]);
});
