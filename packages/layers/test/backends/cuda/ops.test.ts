// The kernels of 'cuda' compared with composed ones on tfjs's CPU backend.
import { attentionCases } from '../attention_cases.js';
import type { TestedBackend } from '../fuzz.js';
import { mixerCases } from '../mixer_cases.js';
import { opCases } from '../op_cases.js';
import { describeOnCuda, useCuda } from './both.js';

describeOnCuda('cuda: ops as composed on the cpu', () => {
  after(useCuda);
  const cuda: TestedBackend = { use: useCuda, numRuns: 15 };
  opCases(cuda);
  attentionCases(cuda);
  mixerCases(cuda);
});
