import { defineGradient, output, runKernel } from '../registry.js';
import { gradientsOf, namesIn } from './outputs.js';

defineGradient('CausalConv1d', ['x', 'weight', 'bias', 'state'], (dys, inputs, attrs) => {
  const names = namesIn(inputs, ['x', 'weight', 'bias', 'state']);
  const dy = output(dys, 0);
  const dstateOut = dys[1];
  return gradientsOf(names, runKernel('CausalConv1dGrad', { ...inputs, dy, dstateOut }, attrs));
});
