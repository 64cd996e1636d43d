import { ReneError } from '../errors.js';
import { defineGradient, output, runKernel } from '../registry.js';
import { gradientsOf } from './outputs.js';

const names = ['q', 'k', 'v', 'ringK', 'ringV'] as const;

defineGradient('SlidingWindowAttention', names, (dys, { q, k, v, ringK }, attrs) => {
  if (ringK) {
    throw new ReneError('attention has no gradient through a ring: call forward without a state');
  }
  const dy = output(dys, 0);
  return gradientsOf(
    ['q', 'k', 'v'],
    runKernel('SlidingWindowAttentionGrad', { q, k, v, dy }, attrs),
  );
});
