// GatedActivationGrad.
import { isGiven, optionalAddress, simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import { activationIds } from './linear.js';

/** Numbers of a unit; see assembly/norm_grad.ts. */
const SPAN = 1024;

export const gatedActivationGradKernel = simdKernel(
  'GatedActivationGrad',
  ({ x, multiplier, dy }, { activation }, backend) => {
    const { runtime } = backend;
    const dx = backend.allocate(x.shape);
    const dm = isGiven(multiplier) ? backend.allocate(multiplier.shape) : undefined;
    const given = [x, multiplier, dy].map((t) => optionalAddress(backend, t));
    const id = activationIds[activation];
    runtime.args.set([...given, dx.address, dm?.address ?? 0, x.size, id]);
    const units = Math.ceil(x.size / SPAN);
    runtime.run(KernelId.GatedActivationGrad, units, runtime.chunk(SPAN * 16));
    return [dx.info, ...(dm ? [dm.info] : [])];
  },
);
