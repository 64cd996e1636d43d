// GatedActivationGrad. Outputs [dx, dmultiplier?].
import { gradientKernel, infosOf, optionalAddress, optionalOutput } from './kernel.js';

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
