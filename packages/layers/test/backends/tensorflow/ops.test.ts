// Our kernels as TensorFlow ops in a real TensorFlow: states, weights, gradients, errors.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  tensorflowInfo,
  traceTensorflowOps,
  useTensorflowKernels,
} from '../../../src/backends/tensorflow/index.js';
import {
  BackendError,
  disposeParameters,
  disposeWeight,
  embeddingLookup,
  gatedMLP,
  initParameters,
  Mamba2Mixer,
  type Mamba2State,
  type Mixer,
  type ParameterSpec,
  Parameters,
  packedMatMul,
  rmsNorm,
  rowsWeight,
  SlidingWindowAttention,
  type StoredMatrix,
  ssdScan,
  type WeightFormat,
  weightPacker,
} from '../../../src/index.js';
import { tidily } from '../../backends.js';
import { expectClose, uniform } from '../both.js';
import { describeInTensorflow } from './inside_tensorflow.js';

const values = (t: tf.Tensor) => Float32Array.from(t.dataSync());
const isOurs = (op: string) => op.startsWith('Rene');

const mambaConfig = { dModel: 8, headDim: 4, dState: 4 };
const attentionConfig = { dModel: 8, numHeads: 2, window: 4 };

/** Calls `run` with a layer. The layer and all tensors that `run` creates are freed. */
async function withLayer<L extends Mixer>(
  specs: ParameterSpec[],
  make: (parameters: Parameters) => L,
  run: (layer: L) => Promise<void>,
): Promise<void> {
  const parameters = await initParameters(specs, 'layer');
  const layer = make(new Parameters(parameters));
  try {
    await tidily(() => run(layer));
  } finally {
    layer.dispose();
    disposeParameters(parameters);
  }
}

const withMamba = (run: (layer: Mamba2Mixer) => Promise<void>) =>
  withLayer(Mamba2Mixer.parameters(mambaConfig), (p) => new Mamba2Mixer(mambaConfig, p), run);

const withAttention = (run: (layer: SlidingWindowAttention) => Promise<void>) =>
  withLayer(
    SlidingWindowAttention.parameters(attentionConfig),
    (p) => new SlidingWindowAttention(attentionConfig, p),
    run,
  );

describeInTensorflow('tensorflow: our ops', () => {
  it('run one op per kernel, unlike composed kernels', () =>
    withMamba(async (mixer) => {
      const state = mixer.initialState(1);
      const step = () => mixer.forward(uniform('x', [1, 1, 8]), state);
      step();
      const own = traceTensorflowOps(step);
      expect(own.filter(isOurs)).to.deep.equal(['ReneMamba2Mixer']);
      await useTensorflowKernels('composed');
      expect(tensorflowInfo().kernels).to.equal('composed');
      const composed = traceTensorflowOps(step);
      await useTensorflowKernels('custom');
      expect(composed.filter(isOurs)).to.deep.equal([]);
      expect(composed.length).to.be.greaterThan(own.length + 20);
      state.dispose();
    }));

  it('update states in place, except those of a clone', () =>
    withMamba(async (mixer) => {
      const step = (state: Mamba2State) => values(mixer.forward(uniform('x', [1, 1, 8]), state));
      const state = mixer.initialState(1);
      step(state);
      const { dataId } = state.ssm;
      step(state);
      expect(state.ssm.dataId, 'in place').to.equal(dataId);
      const clone = state.clone();
      const saved = values(clone.ssm);
      const first = step(state);
      expect(state.ssm.dataId, 'a clone looks on').not.to.equal(dataId);
      expect(values(clone.ssm)).to.deep.equal(saved);
      expect(step(clone), 'from the same state').to.deep.equal(first);
      for (const held of [state, clone]) held.dispose();
    }));

  it('do not change tensors that share a state’s memory inside TensorFlow', () =>
    withAttention(async (layer) => {
      const state = layer.initialState(1);
      const read = (tokens: number[]) => {
        for (const i of tokens) layer.forward(uniform(`token ${i}`, [1, 1, 8]), state).dispose();
      };
      read([0, 1, 2, 3, 4]);
      // TensorFlow's Reshape returns a second tensor with the same memory, as do Pad and Slice without
      // effect.
      const shape = state.k.shape;
      const joined = state.concat([]);
      const views = [
        tf.reshape(state.k, [-1]),
        tf.slice(state.v, [0, 0, 0, 0], [1, -1, -1, -1]),
        joined.k,
      ];
      const before = views.map(values);
      read([5, 6, 7, 8]);
      expect(values(state.k)).not.to.deep.equal(before[0]);
      expect(views.map(values)).to.deep.equal(before);
      expect(state.k.shape).to.deep.equal(shape);
      tf.dispose(views);
      joined.dispose();
      state.dispose();
    }));

  it('overwrite no state while a gradient is recorded', () =>
    tidily(async () => {
      const x = uniform('x', [1, 2, 2, 3]);
      const [dt, A] = [uniform('dt', [1, 2, 2]), tf.neg(tf.ones([2]))];
      const [B, C] = [uniform('B', [1, 2, 1, 4]), uniform('C', [1, 2, 1, 4])];
      const scan = (state?: tf.Tensor) => ssdScan(x, dt, A, B, C, { state, returnState: true });
      const { state } = scan();
      const before = values(state ?? x);
      const gradient = tf.grad((s) => tf.sum(scan(s).y));
      const found = values(gradient(state ?? x));
      expect(values(state ?? x)).to.deep.equal(before);
      await useTensorflowKernels('composed');
      const expected = values(gradient(state ?? x));
      await useTensorflowKernels('custom');
      expectClose(found, expected, 1e-5);
    }));

  it('return all memory to TensorFlow', () =>
    tidily(async () => {
      const x = tf.ones([1, 256 << 10]); // 1 MiB
      const weight = tf.ones([256 << 10]);
      const [inProj, outProj] = [rowsWeight(tf.ones([1024, 4])), rowsWeight(tf.ones([4, 1024]))];
      const rows = tf.ones([128, 4]);
      const run = () => {
        rmsNorm(x, weight, 0).dispose();
        gatedMLP(rows, { inProj, outProj }).dispose(); // temporaries of 0.5 MiB
      };
      for (let i = 0; i < 10; i++) run();
      const before = process.memoryUsage().rss;
      for (let i = 0; i < 150; i++) run();
      expect(process.memoryUsage().rss - before, 'resident bytes').to.be.lessThan(48 << 20);
    }));

  it("throw the kernel's error", () =>
    tidily(async () => {
      const wide = uniform('B', [1, 1, 1, 513]);
      const scan = () =>
        ssdScan(tf.ones([1, 1, 1, 1]), tf.ones([1, 1, 1]), tf.ones([1]), wide, wide);
      expect(scan).to.throw(BackendError, 'states of up to 512');
      const foreign = { ...rowsWeight(tf.ones([2, 3])), layout: 'elsewhere' };
      expect(() => packedMatMul(tf.ones([1, 3]), foreign)).to.throw(BackendError, 'elsewhere');
      expect(values(rmsNorm(tf.ones([1, 2]), tf.ones([2]), 0)), 'works on').to.deep.equal(
        Float32Array.of(1, 1),
      );
    }));

  it("refuse inputs with TensorFlow's message", () =>
    tidily(async () => {
      const inputs = { x: tf.ones([1, 2], 'int32'), weight: tf.ones([2]) };
      const run = () => tf.engine().runKernel('RmsNorm', inputs, { eps: 0 });
      expect(run).to.throw(BackendError, /ReneRmsNorm.*int32/);
    }));
});

describeInTensorflow('tensorflow: packed weights', () => {
  const formats = fc.constantFrom<WeightFormat>('f32', 'bf16', 'f16', 'int8', 'int4');

  function stored(rows: number, columns: number): { matrix: StoredMatrix; numbers: Float32Array } {
    const tensor = uniform('w', [rows, columns]);
    const numbers = values(tensor);
    tensor.dispose();
    const readRows = (first: number, count: number) =>
      new Uint8Array(numbers.slice(first * columns, (first + count) * columns).buffer);
    return { matrix: { shape: [rows, columns], dtype: 'F32', readRows }, numbers };
  }

  it('multiply and look up like the unpacked matrix', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 3, 9),
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 1, max: 300 }),
        formats,
        fc.constantFrom(32, 64),
        async (count, rows, columns, format, groupSize) => {
          const { matrix, numbers } = stored(rows, columns);
          const weight = await weightPacker().pack(matrix, format, groupSize);
          const unpacked = await weightPacker().unpack(weight);
          // For values in [-1, 1): half a step of the grid, and the rounding of its ends.
          const error = { f32: 0, bf16: 2 ** -8, f16: 2 ** -11, int8: 0.012, int4: 0.17 }[format];
          expectClose(unpacked, numbers, error, 'unpacked');
          tf.tidy(() => {
            const x = uniform('x', [count, columns]);
            const plain = tf.tensor2d(unpacked, [rows, columns]);
            // With many rows, the tensor cores round x to 16 bits.
            const tolerance = format === 'f32' || count < 9 ? 2e-5 : 1e-2;
            const product = values(tf.matMul(x, plain, false, true));
            expectClose(values(packedMatMul(x, weight)), product, tolerance, 'product');
            const ids = tf.tensor1d([rows - 1, 0], 'int32');
            expectClose(values(embeddingLookup(ids, weight)), values(tf.gather(plain, ids)), 0);
          });
          disposeWeight(weight);
        },
      ),
      { numRuns: 25 },
    ));

  it('need less memory than f32, and are freed if reading fails', async () => {
    const { matrix } = stored(64, 64);
    const before = tf.memory().numBytes;
    const weight = await weightPacker().pack(matrix, 'int8', 64);
    expect(tf.memory().numBytes - before).to.equal(64 * (64 + 4));
    disposeWeight(weight);
    const readRows = () => Promise.reject(new Error('the disk is gone'));
    let error: unknown;
    await weightPacker()
      .pack({ ...matrix, readRows }, 'int8', 64)
      .catch((found: unknown) => {
        error = found;
      });
    expect(error).to.be.instanceOf(Error).with.property('message', 'the disk is gone');
    expect(tf.memory().numBytes).to.equal(before);
  });
});
