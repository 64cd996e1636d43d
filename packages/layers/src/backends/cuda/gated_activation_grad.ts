// GatedActivationGrad.
import { cudaKernel, isGiven, optionalAddress } from './kernel.js';
import { activationIds } from './linear.js';
import { overElements } from './reductions.js';

export const gatedActivationGradKernel = cudaKernel(
  'GatedActivationGrad',
  ({ x, multiplier, dy }, { activation }, backend) => {
    const dx = backend.allocate(x.shape);
    const dm = isGiven(multiplier) ? backend.allocate(multiplier.shape) : undefined;
    backend.runtime.launch(
      'gated_activation_grad',
      overElements(backend.runtime, x.size),
      [
        ...[backend.address(x), optionalAddress(backend, multiplier), backend.address(dy)],
        ...[dx.address, dm?.address ?? 0],
      ],
      [x.size, activationIds[activation]],
    );
    return [dx.info, ...(dm ? [dm.info] : [])];
  },
);
