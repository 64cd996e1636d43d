// GatedActivation.
import { nativeKernel, optionalAddress } from './kernel.js';

export const gatedActivationKernel = nativeKernel(
  'GatedActivation',
  ({ x, multiplier }, { activation }, tensors) => {
    const y = tensors.allocate(x.shape);
    const columns = x.shape.at(-1) ?? 1;
    tensors.ops.activate({
      x: tensors.address(x),
      xStride: columns,
      multiplier: optionalAddress(tensors, multiplier),
      multiplierStride: columns,
      y: y.address,
      yStride: columns,
      rows: x.size / columns,
      columns,
      activation,
    });
    return y.info;
  },
);
