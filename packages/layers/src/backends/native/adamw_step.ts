// AdamWStep.
import { addressesOf, gradientKernel, outputsLike } from './kernel.js';

export const adamWStepKernel = gradientKernel('AdamWStep', (inputs, attrs, tensors) => {
  const { variable, mean, square, gradient } = inputs;
  const updated = { newVariable: variable, newMean: mean, newSquare: square };
  const outputs = outputsLike(tensors, updated);
  tensors.ops.adamW({
    ...attrs,
    ...addressesOf(tensors, { variable, mean, square, gradient }),
    ...outputs.addresses,
    size: variable.size,
  });
  return outputs.infos;
});
