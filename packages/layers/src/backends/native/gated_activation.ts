// GatedActivation and GatedActivationGrad.
import { addressesOf, gradientKernel, nativeKernel, outputsLike } from './kernel.js';

export const gatedActivationKernel = nativeKernel(
  'GatedActivation',
  ({ x, multiplier }, { activation }, tensors) => {
    const y = tensors.allocate(x.shape);
    const columns = x.shape.at(-1) ?? 1;
    tensors.ops.activate({
      ...addressesOf(tensors, { x, multiplier }),
      ...{ y: y.address, xStride: columns, multiplierStride: columns, yStride: columns },
      ...{ rows: x.size / columns, columns, activation },
    });
    return y.info;
  },
);

/** Outputs [dx, dmultiplier?]. */
export const gatedActivationGradKernel = gradientKernel(
  'GatedActivationGrad',
  ({ x, multiplier, dy }, { activation }, tensors) => {
    const gradients = outputsLike(tensors, { dx: x, dmultiplier: multiplier });
    tensors.ops.activateGrad({
      ...addressesOf(tensors, { x, multiplier, dy }),
      ...gradients.addresses,
      ...{ size: x.size, activation },
    });
    return gradients.infos;
  },
);
