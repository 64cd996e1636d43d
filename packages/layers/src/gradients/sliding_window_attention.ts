import { ReneError } from '../errors.js';
import { defineGradient, output, runKernel } from '../registry.js';
import { gradientsOf } from './outputs.js';

defineGradient('SlidingWindowAttention', (dys, { cacheK, q, k, v }, attrs) => {
  if (cacheK) {
    throw new ReneError(
      'slidingWindowAttention: no gradient through a KV cache; call forward without a state',
    );
  }
  const inputs = { q, k, v };
  const dy = output(dys, 0);
  return gradientsOf(inputs, runKernel('SlidingWindowAttentionGrad', { ...inputs, dy }, attrs));
});
