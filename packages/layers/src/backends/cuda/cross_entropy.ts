// CrossEntropy and its gradient.
import { cudaKernel } from './kernel.js';

export const crossEntropyKernel = cudaKernel('CrossEntropy', ({ logits, targets }, _, backend) => {
  const [rows = 0, columns = 0] = logits.shape;
  const loss = backend.allocate([rows]);
  backend.runtime.launch(
    'cross_entropy',
    { grid: [rows], block: 256 },
    [backend.address(logits), backend.address(targets), 0, loss.address],
    [columns],
  );
  return loss.info;
});

export const crossEntropyGradKernel = cudaKernel(
  'CrossEntropyGrad',
  ({ logits, targets, dy }, _, backend) => {
    const [rows = 0, columns = 0] = logits.shape;
    const dlogits = backend.allocate(logits.shape);
    backend.runtime.launch(
      'cross_entropy_grad',
      { grid: [rows], block: 256 },
      [backend.address(logits), backend.address(targets), backend.address(dy), dlogits.address],
      [columns],
    );
    return dlogits.info;
  },
);
