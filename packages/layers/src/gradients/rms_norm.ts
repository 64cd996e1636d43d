import { defineGradient, output, runKernel } from '../registry.js';
import { gradientsOf } from './outputs.js';

defineGradient('RmsNorm', ['x', 'weight'], (dys, inputs, attrs) => {
  const dy = output(dys, 0);
  return gradientsOf(['x', 'weight'], runKernel('RmsNormGrad', { ...inputs, dy }, attrs));
});
