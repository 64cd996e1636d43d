import { defineGradient, output, runKernel } from '../registry.js';
import { gradientsOf } from './outputs.js';

defineGradient('CausalConv1d', (dys, inputs, attrs) => {
  const [, dstateOut] = dys;
  const gradients = runKernel(
    'CausalConv1dGrad',
    { ...inputs, dy: output(dys, 0), dstateOut },
    attrs,
  );
  return gradientsOf(inputs, gradients);
});
