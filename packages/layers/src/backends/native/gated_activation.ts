// GatedActivation and GatedActivationGrad.
import {
  gradientKernel,
  infosOf,
  nativeKernel,
  optionalAddress,
  optionalOutput,
} from './kernel.js';

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

/** Outputs [dx, dmultiplier?]. */
export const gatedActivationGradKernel = gradientKernel(
  'GatedActivationGrad',
  ({ x, multiplier, dy }, { activation }, tensors) => {
    const dx = tensors.allocate(x.shape);
    const dmultiplier = optionalOutput(tensors, multiplier);
    tensors.ops.activateGrad({
      x: tensors.address(x),
      multiplier: optionalAddress(tensors, multiplier),
      dy: tensors.address(dy),
      dx: dx.address,
      dmultiplier: dmultiplier?.address ?? 0,
      size: x.size,
      activation,
    });
    return infosOf([dx, dmultiplier]);
  },
);
