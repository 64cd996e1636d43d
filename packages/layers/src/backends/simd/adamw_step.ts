// AdamWStep.
import { simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';

/** Numbers of a unit; see assembly/elementwise.ts. */
const SPAN = 4096;

export const adamWStepKernel = simdKernel('AdamWStep', (inputs, attrs, backend) => {
  const { runtime } = backend;
  const { variable, mean, square, gradient } = inputs;
  const made = [variable, mean, square].map(({ shape }) => backend.allocate(shape));
  const given = [variable, mean, square, gradient].map((tensor) => backend.address(tensor));
  runtime.args.set([...given, variable.size]);
  const { scale, beta1, beta2, eps, learningRate, weightDecay } = attrs;
  const step = -learningRate * attrs.meanCorrection;
  const kept = 1 - learningRate * weightDecay;
  runtime.numbers.set([scale, beta1, beta2, eps, attrs.squareCorrection, step, kept], 5);
  runtime.args.set(
    made.map(({ address }) => address),
    12,
  );
  const units = Math.ceil(variable.size / SPAN);
  runtime.run(KernelId.AdamWStep, units, runtime.chunk(SPAN * 8));
  return made.map(({ info }) => info);
});
