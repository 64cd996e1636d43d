import { defineGradient, output, runKernel } from '../registry.js';
import { gradientsOf, namesIn } from './outputs.js';

const names = ['x', 'dt', 'A', 'B', 'C', 'D', 'dtBias', 'state'] as const;

defineGradient('SsdScan', names, (dys, inputs, attrs) => {
  const dy = output(dys, 0);
  const dstateOut = dys[1];
  const outputs = runKernel('SsdScanGrad', { ...inputs, dy, dstateOut }, attrs);
  return gradientsOf(namesIn(inputs, names), outputs);
});
