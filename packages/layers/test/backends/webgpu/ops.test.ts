// The kernels of 'webgpu' against the composed ones on tfjs's CPU backend.
import { skipWithoutWebGpu } from '@rene-js/testing';
import { attentionCases } from '../attention_cases.js';
import type { TestedBackend } from '../fuzz.js';
import { mixerCases } from '../mixer_cases.js';
import { opCases } from '../op_cases.js';
import { expectNoGpuErrors, useWebGpu } from './both.js';

describe('webgpu: ops as composed on the cpu', () => {
  before(skipWithoutWebGpu);
  expectNoGpuErrors();
  // A GPU in software compiles and runs each case slowly: `npm run test:webgpu` tries more of them.
  const isThorough = process.env.RENE_TEST_WEBGPU === 'required';
  const webgpu: TestedBackend = { use: useWebGpu, numRuns: isThorough ? 10 : 2 };
  opCases(webgpu);
  attentionCases(webgpu);
  if (isThorough) mixerCases(webgpu);
});
