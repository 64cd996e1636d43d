// The gradient kernels of 'cuda' compared with composed ones on tfjs's CPU backend; checks that they run.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { asCuda } from '../../../src/backends/cuda/backend.js';
import { slidingWindowAttention, ssdScan } from '../../../src/index.js';
import { gradientCases, gradients } from '../gradient_cases.js';
import { describeOnCuda, uniform, useCuda, valuesOf } from './both.js';

describeOnCuda('cuda: gradients as composed on the cpu', () => {
  after(useCuda);
  gradientCases({ use: useCuda, numRuns: 12 });

  it('launch our gradient kernels', async () => {
    await useCuda();
    const launched = launchesOf(() => {
      const [x, B] = [uniform('x', [1, 5, 2, 4]), uniform('B', [1, 5, 1, 3])];
      return gradients([x, B], () => {
        const dt = uniform('dt', [1, 5, 2]);
        const scanned = ssdScan(x, dt, tf.tensor1d([-1, -2]), B, B).y;
        return [slidingWindowAttention(scanned, scanned, scanned, { window: 3 }).y];
      });
    });
    expect(launched).to.include.members([
      'scan_grad_states_64',
      'scan_grad_carry',
      'scan_grad_chunks_64',
      'attention_grad_queries_64',
      'attention_grad_keys_64',
    ]);
  });
});

/** The names of the kernels that `run` launches. */
function launchesOf(run: () => tf.Tensor[]): string[] {
  const { runtime } = asCuda(tf.backend());
  const launch = runtime.launch.bind(runtime);
  const names: string[] = [];
  runtime.launch = (name, ...rest) => {
    names.push(name);
    launch(name, ...rest);
  };
  try {
    valuesOf(run);
  } finally {
    runtime.launch = launch;
  }
  return names;
}
