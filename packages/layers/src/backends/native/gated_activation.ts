// GatedActivation and GatedActivationGrad.
import { addressesOf, gradientKernel, nativeKernel, outputsLike } from './kernel.js';

export const gatedActivationKernel = nativeKernel(
  'GatedActivation',
  ({ x, multiplier }, { activation }, tensors) => {
    const y = tensors.allocate(x.shape);
    const columns = x.shape.at(-1) ?? 1;
    const strides = { xStride: columns, multiplierStride: columns, yStride: columns };
    const sizes = { y: y.address, rows: x.size / columns, columns, activation };
    tensors.ops.activate(Object.assign(addressesOf(tensors, { x, multiplier }), strides, sizes));
    return y.info;
  },
);

/** Outputs [dx, dmultiplier?]. */
export const gatedActivationGradKernel = gradientKernel(
  'GatedActivationGrad',
  ({ x, multiplier, dy }, { activation }, tensors) => {
    const { infos, addresses } = outputsLike(tensors, { dx: x, dmultiplier: multiplier });
    const read = addressesOf(tensors, { x, multiplier, dy });
    tensors.ops.activateGrad(Object.assign(addresses, read, { size: x.size, activation }));
    return infos;
  },
);
