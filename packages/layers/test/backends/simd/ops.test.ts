// The kernels of 'simd' compared with composed ones on tfjs's CPU backend.
import { attentionCases } from '../attention_cases.js';
import type { TestedBackend } from '../fuzz.js';
import { mixerCases } from '../mixer_cases.js';
import { opCases } from '../op_cases.js';
import { useSimd } from './both.js';

describe('simd: ops as composed on the cpu', () => {
  after(useSimd);
  const simd: TestedBackend = { use: useSimd, numRuns: 25 };
  opCases(simd);
  attentionCases(simd);
  mixerCases(simd);
});
