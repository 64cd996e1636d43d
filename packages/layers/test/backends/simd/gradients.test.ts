// The gradient kernels of 'simd' compared with composed ops on tfjs's CPU backend.
import { gradientCases } from '../gradient_cases.js';
import { useSimd } from './both.js';

describe('simd: gradients as composed on the cpu', () => {
  after(useSimd);
  gradientCases({ use: useSimd, numRuns: 20 });
});
