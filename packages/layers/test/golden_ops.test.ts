// Every op and its gradients against the reference values (float64 results of the original code).
import { type GoldenAttrs, type NamedTensors, runGoldenOp } from '@rene-js/layers/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { describeOnBackends, maxError, tidily } from './backends.js';
import { readJson, readTensors } from './fixtures.js';

interface GoldenCase {
  op: string;
  case: string;
  attrs: GoldenAttrs & { chunk_sizes_checked?: number[] };
  inputs: string[];
  outputs: string[];
  grads: string[];
}

const tolerance = 3e-5;

describeOnBackends('ops against the goldens', () => {
  for (const golden of readJson<GoldenCase[]>('ops.json')) {
    const tensorsOf = (kind: string): NamedTensors =>
      readTensors('ops.safetensors', `${golden.op}/${golden.case}/${kind}.`);

    for (const chunkSize of golden.attrs.chunk_sizes_checked ?? [undefined]) {
      const attrs = { ...golden.attrs, ...(chunkSize && { chunk_size: chunkSize }) };
      const name = `${golden.op} ${golden.case}${chunkSize ? ` in chunks of ${chunkSize}` : ''}`;

      it(name, () =>
        tidily(async () => {
          const outputs = runGoldenOp(golden.op, tensorsOf('in'), attrs);
          for (const [output, expected] of Object.entries(tensorsOf('out'))) {
            expect(await maxError(pick(outputs, output), expected), output).to.be.below(tolerance);
          }
        }),
      );

      if (golden.grads.length === 0) continue;
      it(`${name}: gradients`, () =>
        tidily(async () => {
          const inputs = tensorsOf('in');
          const cotangents = Object.entries(tensorsOf('cot'));
          const { grads } = tf.engine().gradients(
            () => {
              const outputs = runGoldenOp(golden.op, inputs, attrs);
              return tf.addN(
                cotangents.map(([out, cot]) => tf.sum(tf.mul(pick(outputs, out), cot))),
              );
            },
            golden.grads.map((input) => pick(inputs, input)),
          );
          const expected = tensorsOf('grad');
          for (const [i, input] of golden.grads.entries()) {
            const error = await maxError(grads[i] ?? tf.zeros([0]), pick(expected, input));
            expect(error, `gradient of ${input}`).to.be.below(tolerance);
          }
        }));
    }
  }
});

function pick(tensors: NamedTensors, name: string): tf.Tensor {
  const tensor = tensors[name];
  if (!tensor) throw new Error(`no tensor ${name} among ${Object.keys(tensors).join(', ')}`);
  return tensor;
}
