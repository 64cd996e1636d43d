// Composed kernels run on every tfjs backend: they use only tfjs kernels that tfjs-node-gpu, wasm, webgl and
// webgpu (4.22) all register.
import { readFileSync } from 'node:fs';
import {
  causalConv1d,
  crossEntropy,
  embeddingLookup,
  type KvCache,
  mamba2Mixer,
  packedMatMul,
  rowsWeight,
  slidingWindowAttention,
  ssdScan,
  useBackend,
} from '@rene-js/layers';
import { type GoldenAttrs, runGoldenOp } from '@rene-js/layers/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { readJson, readTensors } from './fixtures.js';
import { mamba2Sizes, mamba2Weights } from './mamba2_weights.js';

const lists: Record<string, string[]> = JSON.parse(
  readFileSync(new URL('../../test/fixtures/backend_kernels.json', import.meta.url), 'utf8'),
);

/** The tfjs kernels that `run` used. On 'cpu' our kernels are the composed ones. */
async function tfjsKernels(run: () => tf.Tensor | tf.Tensor[]): Promise<string[]> {
  const { kernelNames } = await tf.profile(() => {
    tf.dispose(run());
  });
  return kernelNames;
}

function expectEverywhere(kernels: string[]): void {
  const ours = new Set<string>([...custom]);
  for (const [backend, list] of Object.entries(lists)) {
    for (const kernel of kernels) {
      if (!ours.has(kernel)) expect(list, `kernels of ${backend}`).to.include(kernel);
    }
  }
}

const primitives = ['RmsNorm', 'GatedRmsNorm', 'CausalConv1d', 'SsdScan', 'SlidingWindowAttention'];
const others = ['PackedMatMul', 'EmbeddingLookup', 'GatedActivation', 'CrossEntropy'];
const custom = [
  ...[...primitives, ...others].flatMap((name) => [name, `${name}Grad`]),
  'Mamba2Mixer',
  'AttentionMixer',
  'GatedMLP',
];

describe('composed kernels', () => {
  before(() => useBackend('cpu'));

  interface GoldenCase {
    op: string;
    case: string;
    attrs: GoldenAttrs;
    grads: string[];
  }

  for (const golden of readJson<GoldenCase[]>('ops.json')) {
    it(`${golden.op} ${golden.case} runs on all backends`, async () => {
      const inputs = readTensors('ops.safetensors', `${golden.op}/${golden.case}/in.`);
      const run = () =>
        Object.values(runGoldenOp(golden.op, inputs, { ...golden.attrs, chunk_size: 4 }));
      expectEverywhere(await tfjsKernels(run));
      const wanted = golden.grads.flatMap((name) => inputs[name] ?? []);
      if (wanted.length > 0) {
        const sum = () => run().reduce((total, y) => tf.add(total, tf.sum(y)), tf.sum(0));
        const backward = await tfjsKernels(
          () => tf.engine().gradients(() => tf.tidy(sum), wanted).grads,
        );
        expect(
          backward.some((name) => name.endsWith('Grad')) || golden.op.includes('layer_norm'),
        ).to.equal(true);
        expectEverywhere(backward);
      }
      tf.dispose(Object.values(inputs));
    });
  }

  it('embedding, head and loss run on all backends, with their gradients', async () => {
    const table = tf.randomNormal([10, 4]);
    const loss = () => {
      const hidden = embeddingLookup(tf.tensor1d([1, 2, 2, 3], 'int32'), rowsWeight(table));
      const logits = packedMatMul(hidden, rowsWeight(table), { bias: tf.ones([10]) });
      return tf.mean(crossEntropy(logits, tf.tensor1d([2, 2, -1, 4], 'int32')));
    };
    expectEverywhere(await tfjsKernels(() => tf.tidy(loss)));
    const kernels = await tfjsKernels(() => tf.engine().gradients(loss, [table]).grads);
    expect(kernels).to.include.members(['CrossEntropyGrad', 'EmbeddingLookupGrad']);
    expectEverywhere(kernels);
    table.dispose();
  });

  it('a cache, a state and one token run on all backends', async () => {
    const cache: KvCache = {
      k: tf.zeros([2, 2, 1, 4]),
      v: tf.zeros([2, 2, 1, 4]),
      positions: [0, 1],
    };
    const attend = (length: number) => () => {
      const q = tf.ones([2, length, 2, 4]);
      const kv = tf.ones([2, length, 1, 4]);
      const { y, cache: after } = slidingWindowAttention(q, kv, kv, { window: 5, cache });
      return [y, ...(after ? [after.k, after.v] : [])];
    };
    expectEverywhere(await tfjsKernels(attend(1)));
    expectEverywhere(await tfjsKernels(attend(7)));

    const x = tf.ones([2, 1, 2, 4]);
    const B = tf.ones([2, 1, 1, 3]);
    const state = tf.ones([2, 2, 4, 3]);
    const scan = () => {
      const { y, state: after } = ssdScan(x, tf.ones([2, 1, 2]), tf.tensor1d([-1, -2]), B, B, {
        state,
        dtLimit: [0.1, 1],
        returnState: true,
      });
      return after ? [y, after] : y;
    };
    expectEverywhere(await tfjsKernels(scan));
    const conv = () => causalConv1d(tf.ones([2, 1, 4]), tf.ones([4, 3]), { returnState: true }).y;
    expectEverywhere(await tfjsKernels(conv));
    tf.dispose([cache.k, cache.v, x, B, state]);
  });

  it('a whole mixer runs on all backends', async () => {
    const weights = mamba2Weights(8);
    const x = tf.randomNormal([1, 5, 8]);
    expectEverywhere(await tfjsKernels(() => mamba2Mixer(x, weights, mamba2Sizes).y));
  });
});
