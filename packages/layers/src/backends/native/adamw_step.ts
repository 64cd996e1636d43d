// AdamWStep.
import { addressesOf, gradientKernel, outputsLike } from './kernel.js';

export const adamWStepKernel = gradientKernel('AdamWStep', (inputs, attrs, tensors) => {
  const { variable, mean, square, gradient } = inputs;
  const updated = { newVariable: variable, newMean: mean, newSquare: square };
  const outputs = outputsLike(tensors, updated);
  const read = addressesOf(tensors, { variable, mean, square, gradient });
  const { size } = variable;
  tensors.ops.adamW(Object.assign(outputs.addresses, read, attrs, { size }));
  return outputs.infos;
});
