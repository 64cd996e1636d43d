// SsdScanGrad. Outputs [dx, ddt, dA, dB, dC, dD?, ddtBias?, dstate?].
import { addressesOf, gradientKernel, outputsLike } from './kernel.js';
import { scanSizes } from './ssd_scan.js';

export const ssdScanGradKernel = gradientKernel('SsdScanGrad', (inputs, attrs, tensors) => {
  const { x, dt, A, B, C, D, dtBias, state, dy, dstateOut } = inputs;
  const gradients = outputsLike(tensors, {
    ...{ dx: x, ddt: dt, dA: A, dB: B, dC: C, dD: D, ddtBias: dtBias, dbefore: state },
  });
  tensors.ops.scanGrad({
    ...addressesOf(tensors, { x, dt, A, B, C, D, dtBias, before: state, dy, dafter: dstateOut }),
    ...gradients.addresses,
    ...scanSizes(inputs, attrs),
  });
  return gradients.infos;
});
