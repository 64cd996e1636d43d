// SsdScan; its state is updated in place where that is allowed.
import type { KernelInputs, SsdScanAttrs } from '../../kernels.js';
import { addressesOf, infosOf, nativeKernel, stateOutput } from './kernel.js';

export const ssdScanKernel = nativeKernel('SsdScan', (inputs, attrs, tensors) => {
  const { x, dt, A, B, C, D, dtBias, state } = inputs;
  const sizes = scanSizes(inputs, attrs);
  const { batch, heads, headDim, dState, groups } = sizes;
  const y = tensors.allocate(x.shape);
  const addresses = addressesOf(tensors, { x, dt, A, B, C, D, dtBias, before: state });
  const after = attrs.returnState
    ? stateOutput(tensors, state, [batch, heads, headDim, dState])
    : undefined;
  const places = {
    y: y.address,
    after: after?.address ?? 0,
    xStride: heads * headDim,
    yStride: heads * headDim,
    dtStride: heads,
    bStride: groups * dState,
    cStride: groups * dState,
  };
  tensors.ops.scan(Object.assign(addresses, sizes, places));
  return infosOf([y, after]);
});

/** Sizes and options of a scan and of its gradient. */
export function scanSizes(
  { x, B, D }: KernelInputs<'SsdScan'>,
  { dtSoftplus, dtMin, dtMax }: Pick<SsdScanAttrs, 'dtSoftplus' | 'dtMin' | 'dtMax'>,
) {
  const [batch = 0, length = 0, heads = 0, headDim = 0] = x.shape;
  const [, , groups = 0, dState = 0] = B.shape;
  const dPerChannel = D?.rank === 2;
  const sizes = { batch, length, heads, headDim, groups, dState };
  return Object.assign(sizes, { dPerChannel, dtSoftplus, dtMin, dtMax });
}
