import { defineGradient, output, runKernel } from '../registry.js';
import { gradientsOf, namesIn } from './outputs.js';

defineGradient('GatedActivation', ['x', 'multiplier'], (dys, inputs, attrs) => {
  const dy = output(dys, 0);
  const names = namesIn(inputs, ['x', 'multiplier']);
  return gradientsOf(names, runKernel('GatedActivationGrad', { ...inputs, dy }, attrs));
});
