import { defineGradient, output, runKernel } from '../registry.js';
import { gradientsOf } from './outputs.js';

defineGradient('GatedActivation', (dys, inputs, attrs) => {
  const dy = output(dys, 0);
  return gradientsOf(inputs, runKernel('GatedActivationGrad', { ...inputs, dy }, attrs));
});
