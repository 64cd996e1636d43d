import { defineGradient, output, runKernel } from '../registry.js';
import { gradientsOf } from './outputs.js';

defineGradient('RmsNorm', (dys, inputs, attrs) => {
  const dy = output(dys, 0);
  return gradientsOf(inputs, runKernel('RmsNormGrad', { ...inputs, dy }, attrs));
});
