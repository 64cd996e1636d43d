// AdamWStep.
import { cudaKernel } from './kernel.js';
import { overElements } from './reductions.js';

export const adamWStepKernel = cudaKernel('AdamWStep', (inputs, attrs, backend) => {
  const { variable, mean, square, gradient } = inputs;
  const made = [variable, mean, square].map(({ shape }) => backend.allocate(shape));
  const given = [variable, mean, square, gradient].map((tensor) => backend.address(tensor));
  const { scale, beta1, beta2, eps, learningRate, weightDecay } = attrs;
  const step = -learningRate * attrs.meanCorrection;
  const kept = 1 - learningRate * weightDecay;
  backend.runtime.launch(
    'adamw_step',
    overElements(backend.runtime, variable.size),
    [...given, ...made.map(({ address }) => address)],
    [variable.size],
    [scale, beta1, 1 - beta1, beta2, 1 - beta2, attrs.squareCorrection, eps, step, kept],
  );
  return made.map(({ info }) => info);
});
