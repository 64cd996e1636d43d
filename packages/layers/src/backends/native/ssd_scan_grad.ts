// SsdScanGrad. Outputs [dx, ddt, dA, dB, dC, dD?, ddtBias?, dstate?].
import { gradientKernel, infosOf, optionalAddress, optionalOutput } from './kernel.js';

export const ssdScanGradKernel = gradientKernel('SsdScanGrad', (inputs, attrs, tensors) => {
  const { x, dt, A, B, C, D, dtBias, state, dy, dstateOut } = inputs;
  const { dtSoftplus, dtMin, dtMax } = attrs;
  const [batch = 0, length = 0, heads = 0, headDim = 0] = x.shape;
  const [, , groups = 0, dState = 0] = B.shape;
  const dx = tensors.allocate(x.shape);
  const ddt = tensors.allocate(dt.shape);
  const dA = tensors.allocate(A.shape);
  const dB = tensors.allocate(B.shape);
  const dC = tensors.allocate(C.shape);
  const dD = optionalOutput(tensors, D);
  const ddtBias = optionalOutput(tensors, dtBias);
  const dstate = optionalOutput(tensors, state);
  tensors.ops.scanGrad({
    x: tensors.address(x),
    dt: tensors.address(dt),
    A: tensors.address(A),
    B: tensors.address(B),
    C: tensors.address(C),
    D: optionalAddress(tensors, D),
    dPerChannel: D?.rank === 2,
    dtBias: optionalAddress(tensors, dtBias),
    before: optionalAddress(tensors, state),
    dy: tensors.address(dy),
    dafter: optionalAddress(tensors, dstateOut),
    dx: dx.address,
    ddt: ddt.address,
    dA: dA.address,
    dB: dB.address,
    dC: dC.address,
    dD: dD?.address ?? 0,
    ddtBias: ddtBias?.address ?? 0,
    dbefore: dstate?.address ?? 0,
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
  return infosOf([dx, ddt, dA, dB, dC, dD, ddtBias, dstate]);
});
