// SsdScanGrad. Outputs [dx, ddt, dA, dB, dC, dD?, ddtBias?, dstate?].
import { addressesOf, gradientKernel, outputsLike } from './kernel.js';
import { scanSizes } from './ssd_scan.js';

export const ssdScanGradKernel = gradientKernel('SsdScanGrad', (inputs, attrs, tensors) => {
  const { x, dt, A, B, C, D, dtBias, state, dy, dstateOut } = inputs;
  const read = { x, dt, A, B, C, D, dtBias, before: state, dy, dafter: dstateOut };
  const made = { dx: x, ddt: dt, dA: A, dB: B, dC: C, dD: D, ddtBias: dtBias, dbefore: state };
  const { infos, addresses } = outputsLike(tensors, made);
  const sizes = scanSizes(inputs, attrs);
  tensors.ops.scanGrad(Object.assign(addresses, addressesOf(tensors, read), sizes));
  return infos;
});
