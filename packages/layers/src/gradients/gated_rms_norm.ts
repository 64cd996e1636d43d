import { defineGradient, output, runKernel } from '../registry.js';
import { gradientsOf, namesIn } from './outputs.js';

defineGradient('GatedRmsNorm', ['x', 'weight', 'z'], (dys, inputs, attrs) => {
  const dy = output(dys, 0);
  const names = namesIn(inputs, ['x', 'weight', 'z']);
  return gradientsOf(names, runKernel('GatedRmsNormGrad', { ...inputs, dy }, attrs));
});
