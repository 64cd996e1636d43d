import { defineGradient, output, runKernel1 } from '../registry.js';

defineGradient('CrossEntropy', (dys, inputs, attrs) => ({
  logits: () => runKernel1('CrossEntropyGrad', { ...inputs, dy: output(dys, 0) }, attrs),
}));
