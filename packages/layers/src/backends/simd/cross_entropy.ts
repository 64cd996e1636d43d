// CrossEntropy and its gradient.
import { simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';

export const crossEntropyKernel = simdKernel('CrossEntropy', ({ logits, targets }, _, backend) => {
  const [rows = 0, columns = 0] = logits.shape;
  const loss = backend.allocate([rows]);
  const addresses = [backend.address(logits), backend.address(targets), loss.address];
  const { runtime } = backend;
  runtime.args.set([...addresses, columns]);
  runtime.run(KernelId.CrossEntropy, rows, runtime.chunk(columns * 8));
  return loss.info;
});

export const crossEntropyGradKernel = simdKernel(
  'CrossEntropyGrad',
  ({ logits, targets, dy }, _, backend) => {
    const [rows = 0, columns = 0] = logits.shape;
    const dlogits = backend.allocate(logits.shape);
    const addresses = [backend.address(logits), backend.address(targets), dlogits.address];
    const { runtime } = backend;
    runtime.args.set([...addresses, columns, backend.address(dy)]);
    runtime.run(KernelId.CrossEntropyGrad, rows, runtime.chunk(columns * 16));
    return dlogits.info;
  },
);
