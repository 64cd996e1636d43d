// AdamWStep.
import { gradientKernel, infosOf } from './kernel.js';

export const adamWStepKernel = gradientKernel('AdamWStep', (inputs, attrs, tensors) => {
  const { variable, mean, square, gradient } = inputs;
  const newVariable = tensors.allocate(variable.shape);
  const newMean = tensors.allocate(mean.shape);
  const newSquare = tensors.allocate(square.shape);
  tensors.ops.adamW({
    ...attrs,
    variable: tensors.address(variable),
    mean: tensors.address(mean),
    square: tensors.address(square),
    gradient: tensors.address(gradient),
    newVariable: newVariable.address,
    newMean: newMean.address,
    newSquare: newSquare.address,
    size: variable.size,
  });
  return infosOf([newVariable, newMean, newSquare]);
});
