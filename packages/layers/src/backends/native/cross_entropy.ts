// CrossEntropy and CrossEntropyGrad.
import { gradientKernel, nativeKernel } from './kernel.js';

export const crossEntropyKernel = nativeKernel(
  'CrossEntropy',
  ({ logits, targets }, _, tensors) => {
    const [rows = 0, columns = 0] = logits.shape;
    const loss = tensors.allocate([rows]);
    tensors.ops.crossEntropy({
      logits: tensors.address(logits),
      targets: tensors.address(targets),
      loss: loss.address,
      rows,
      columns,
    });
    return loss.info;
  },
);

export const crossEntropyGradKernel = gradientKernel(
  'CrossEntropyGrad',
  ({ logits, targets, dy }, _, tensors) => {
    const [rows = 0, columns = 0] = logits.shape;
    const dlogits = tensors.allocate(logits.shape);
    tensors.ops.crossEntropyGrad({
      logits: tensors.address(logits),
      targets: tensors.address(targets),
      dy: tensors.address(dy),
      dlogits: dlogits.address,
      rows,
      columns,
    });
    return dlogits.info;
  },
);
