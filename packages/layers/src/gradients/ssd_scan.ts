import { defineGradient, output, runKernel } from '../registry.js';
import { gradientsOf } from './outputs.js';

defineGradient('SsdScan', (dys, inputs, attrs) => {
  const [, dstateOut] = dys;
  const gradients = runKernel('SsdScanGrad', { ...inputs, dy: output(dys, 0), dstateOut }, attrs);
  return gradientsOf(inputs, gradients);
});
