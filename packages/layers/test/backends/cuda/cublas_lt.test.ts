// Matmuls by cuBLASLt: with a fake library that checks its calls and computes on the host; and, if NVIDIA's
// library is installed, with its functions that need no GPU.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { asCuda } from '../../../src/backends/cuda/backend.js';
import { CublasLt } from '../../../src/backends/cuda/cublas_lt.js';
import { CudaDevice } from '../../../src/backends/cuda/cuda_device.js';
import { CudaError } from '../../../src/backends/cuda/device.js';
import { linear } from '../../../src/backends/cuda/linear.js';
import { type NativeLibrary, openLibrary, viewer } from '../../../src/backends/cuda/native.js';
import { BackendError } from '../../../src/errors.js';
import {
  type Activation,
  disposeWeight,
  packedMatMul,
  type WeightFormat,
  weightPacker,
} from '../../../src/index.js';
import { packedWeightAttrs } from '../../../src/weights/packed_weight.js';
import { describeOnEmulated, expectClose, uniform, useCuda, valuesOf } from './both.js';
import { FakeCublasLt } from './fake_cublas_lt.js';
import { DeviceNumbers } from './numbers.js';

const formats = fc.constantFrom<WeightFormat>('f32', 'bf16', 'f16');
const activations = fc.constantFrom<Activation>('linear', 'silu', 'gelu');

describeOnEmulated('cuda: matmuls by cuBLASLt', () => {
  let fake: FakeCublasLt;

  /** The values of `run` with our kernels, and with the library. */
  function bothWays(run: () => tf.Tensor[]): [Float32Array[], Float32Array[]] {
    return bothWaysOf(() => valuesOf(run));
  }

  function bothWaysOf(run: () => Float32Array[]): [Float32Array[], Float32Array[]] {
    const own = run();
    fake.calls.length = 0;
    device().cublasLt = CublasLt.start(fake);
    try {
      return [own, run()];
    } finally {
      device().cublasLt?.dispose();
      device().cublasLt = undefined;
      expect(fake.faults).to.deep.equal([]);
      expect(fake.alive, 'descriptors left behind').to.equal(0);
    }
  }

  beforeEach(async () => {
    await useCuda();
    fake = new FakeCublasLt(await viewer());
  });

  it('equal ours, for all formats and epilogues', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: fc.constantFrom(64, 70, 130),
          columns: fc.integer({ min: 1, max: 90 }),
          outFeatures: fc.integer({ min: 1, max: 70 }),
          activation: activations,
          hasBias: fc.boolean(),
          hasResidual: fc.boolean(),
        }),
        formats,
        async ({ rows, columns, outFeatures, activation, hasBias, hasResidual }, format) => {
          const weight = await packed(outFeatures, columns, format);
          const [[own = none], [found = none]] = bothWays(() => [
            packedMatMul(uniform('x', [rows, columns]), weight, {
              bias: hasBias ? uniform('b', [outFeatures]) : undefined,
              residual: hasResidual ? uniform('r', [rows, outFeatures]) : undefined,
              activation,
            }),
          ]);
          disposeWeight(weight);
          expectClose(found, own, 2e-5);
          expect(fake.calls.filter((name) => name === 'cublasLtMatmul')).to.have.length.above(0);
        },
      ),
      { numRuns: 20 },
    ));

  it('round their output, and keep some features in f32', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: fc.constantFrom(64, 70),
          columns: fc.constantFrom(32, 64, 77),
          features: fc.integer({ min: 2, max: 70 }),
          gap: fc.constantFrom(0, 3),
          activation: activations,
          hasBias: fc.boolean(),
          exactFeatures: fc.integer({ min: 0, max: 5 }),
          xFormat: fc.constantFrom('f32' as const, 'bf16' as const),
          yFormat: fc.constantFrom('bf16' as const, 'f16' as const),
        }),
        fc.constantFrom<WeightFormat>('bf16', 'f16'),
        async ({ rows, columns, features, gap, activation, ...options }, format) => {
          const { hasBias, exactFeatures, xFormat, yFormat } = options;
          const { runtime } = asCuda(tf.backend());
          const numbers = new DeviceNumbers(runtime);
          const weight = await packed(features, columns, format);
          const { tensor } = weight;
          const first = Math.max(1, features - exactFeatures);
          const stride = features + gap;
          const y = numbers.space(rows * stride, yFormat);
          const width = features - first;
          const exact = numbers.space(rows * width + 1);
          const call = {
            ...{ x: numbers.put(numbers.draw(rows * columns), xFormat), xStride: columns, xFormat },
            ...{ rows, attrs: packedWeightAttrs(weight), activation },
            weight: tensor ? asCuda(tf.backend()).address(tensor) : 0,
            bias: hasBias ? numbers.put(numbers.draw(features)) : 0,
            ...(exactFeatures > 0 && { f32Tail: { first, y: exact, yStride: width } }),
          };
          const count = exactFeatures > 0 ? first : features;
          const withoutGaps = (values: Float32Array) => values.filter((_, i) => i % stride < count);
          const results = bothWaysOf(() => {
            linear(runtime, { ...call, y, yStride: stride, yFormat });
            const values = withoutGaps(numbers.take(y, rows * stride, yFormat));
            return [values, exactFeatures > 0 ? numbers.take(exact, rows * width) : none];
          });
          const unrounded = numbers.space(rows * stride);
          linear(runtime, { ...call, y: unrounded, yStride: stride });
          const sums = withoutGaps(numbers.take(unrounded, rows * stride));
          numbers.free();
          disposeWeight(weight);
          const [[own = none, ownExact = none], [found = none, foundExact = none]] = results;
          expectRoundedOnce(own, sums, yFormat);
          expectRoundedOnce(found, sums, yFormat);
          expectClose(foundExact, ownExact, 2e-5);
          const isRefused = format !== yFormat && activation === 'linear' && !hasBias;
          expect(fake.calls.includes('cublasLtMatmul')).to.equal(!isRefused);
        },
      ),
      { numRuns: 30 },
    ));

  it("equal ours for tfjs's matMul, transposed and batched", () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batchA: fc.constantFrom(1, 3),
          batchB: fc.constantFrom(1, 3),
          rows: fc.integer({ min: 1, max: 20 }),
          depth: fc.integer({ min: 1, max: 20 }),
          features: fc.integer({ min: 1, max: 20 }),
          transposeA: fc.boolean(),
          transposeB: fc.boolean(),
        }),
        async ({ batchA, batchB, rows, depth, features, transposeA, transposeB }) => {
          const [[own = none], [found = none]] = bothWays(() => {
            const a = uniform('a', [batchA, ...(transposeA ? [depth, rows] : [rows, depth])]);
            const b = uniform('b', [
              batchB,
              ...(transposeB ? [features, depth] : [depth, features]),
            ]);
            return [tf.matMul(a, b, transposeA, transposeB)];
          });
          expectClose(found, own, 2e-5);
        },
      ),
      { numRuns: 20 },
    ));

  it('look up the algorithm once per shape, and run in stream order', async () => {
    const weight = await packed(12, 40, 'bf16');
    bothWays(() => [
      packedMatMul(uniform('x', [70, 40]), weight),
      packedMatMul(uniform('x', [70, 40]), weight),
      packedMatMul(uniform('x', [75, 40]), weight),
    ]);
    disposeWeight(weight);
    const worth = ['cublasLtCreate', 'cublasLtMatmulAlgoGetHeuristic', 'cublasLtMatmul'];
    expect(fake.calls.filter((name) => worth.includes(name))).to.deep.equal([
      'cublasLtCreate',
      ...['cublasLtMatmulAlgoGetHeuristic', 'cublasLtMatmul', 'cublasLtMatmul'],
      ...['cublasLtMatmulAlgoGetHeuristic', 'cublasLtMatmul'],
    ]);
    expect([...fake.streams]).to.deep.equal([device().stream]);
    expect(new Set(fake.workspaces).size, 'one workspace, used again').to.equal(1);
  });

  it('are prepared by a rehearsal, which computes nothing', async () => {
    const weight = await packed(12, 40, 'f16');
    const lt = CublasLt.start(fake);
    device().cublasLt = lt;
    const x = uniform('x', [9, 40]);
    asCuda(tf.backend()).address(x); // an upload cannot be rehearsed
    const run = () => tf.dispose(packedMatMul(x, weight));
    const asked = 'cublasLtMatmulAlgoGetHeuristic';
    device().rehearse(run);
    expect(fake.calls).to.include(asked).and.not.include('cublasLtMatmul');
    fake.calls.length = 0;
    run();
    expect(fake.calls).to.include('cublasLtMatmul').and.not.include(asked);
    device().cublasLt = undefined;
    lt.dispose();
    tf.dispose(x);
    disposeWeight(weight);
  });

  it('use our kernels if the library has no algorithm', async () => {
    fake.hasAlgorithms = false;
    const weight = await packed(12, 40, 'bf16');
    const [[own = none], [found = none]] = bothWays(() => [
      packedMatMul(uniform('x', [70, 40]), weight),
    ]);
    disposeWeight(weight);
    expect([...found]).to.deep.equal([...own]);
    expect(fake.calls).not.to.include('cublasLtMatmul');
  });

  it('fail if the library lacks a function', async () => {
    const old = new FakeCublasLt(await viewer(), 'cublasLtMatmul');
    expect(() => CublasLt.start(old)).to.throw(BackendError, 'cublasLtMatmul');
  });
});

describe('cuda: NVIDIA’s cuBLASLt', () => {
  let library: NativeLibrary | undefined;

  before(async function () {
    const chosen = process.env.RENE_CUBLASLT;
    for (const name of chosen ? [chosen] : ['libcublasLt.so.13', 'libcublasLt.so.12']) {
      library ??= await openLibrary(name).catch(() => undefined);
    }
    if (!library) this.skip();
  });

  it('has the functions that we call, and starts or reports what is missing', () => {
    if (!library) return;
    try {
      CublasLt.start(library).dispose();
    } catch (error) {
      // Without a GPU.
      expect(error).to.be.instanceOf(CudaError).with.property('message').that.includes('NOT_INIT');
    }
  });

  it('descriptors keep their attributes', () => {
    if (!library) return;
    const handle = new BigUint64Array(1);
    const size = new BigUint64Array(1);
    const create = library.function('cublasLtMatrixLayoutCreate', [
      ...['void *', 'int', 'uint64', 'uint64', 'int64'],
    ]);
    expect(create(handle, 14, 96, 7, 128)).to.equal(0);
    const attribute = ['uint64', 'int', 'void *', 'size_t'];
    const layoutSet = library.function('cublasLtMatrixLayoutSetAttribute', attribute);
    expect(layoutSet(handle[0] ?? 0n, 5, Int32Array.of(3), 4)).to.equal(0);
    expect(layoutSet(handle[0] ?? 0n, 6, BigInt64Array.of(1000n), 8)).to.equal(0);
    const layoutGet = library.function('cublasLtMatrixLayoutGetAttribute', [
      ...attribute,
      'void *',
    ]);
    const values = [0, 2, 3, 4, 5, 6].map((which) => {
      const value = new BigUint64Array(1);
      expect(
        layoutGet(handle[0] ?? 0n, which, value, which === 0 || which === 5 ? 4 : 8, size),
      ).to.equal(0);
      return Number(value[0]);
    });
    expect(values).to.deep.equal([14, 96, 7, 128, 3, 1000]);
    const destroy = library.function('cublasLtMatrixLayoutDestroy', ['uint64']);
    expect(destroy(handle[0] ?? 0n)).to.equal(0);

    const describe = library.function('cublasLtMatmulDescCreate', ['void *', 'int', 'int']);
    expect(describe(handle, 68, 0)).to.equal(0);
    const set = library.function('cublasLtMatmulDescSetAttribute', attribute);
    expect(set(handle[0] ?? 0n, 3, Int32Array.of(1), 4)).to.equal(0);
    const get = library.function('cublasLtMatmulDescGetAttribute', [...attribute, 'void *']);
    const value = new Int32Array(1);
    expect(get(handle[0] ?? 0n, 3, value, 4, size)).to.equal(0);
    expect(value[0]).to.equal(1);
    const free = library.function('cublasLtMatmulDescDestroy', ['uint64']);
    expect(free(handle[0] ?? 0n)).to.equal(0);
  });
});

const none = new Float32Array();

/** Within half a step of the format around the sums, which vary with the order of their terms. */
function expectRoundedOnce(found: Float32Array, sums: Float32Array, format: 'bf16' | 'f16'): void {
  expect(found).to.have.length(sums.length);
  const largest = sums.reduce((top, v) => Math.max(top, Math.abs(v)), 0);
  sums.forEach((sum, i) => {
    const step = 2 ** (Math.floor(Math.log2(Math.abs(sum))) - (format === 'bf16' ? 7 : 10));
    const error = Math.abs((found[i] ?? Number.NaN) - sum);
    expect(error, `[${i}] of ${sum} as ${format}`).to.be.at.most(step / 2 + 2e-5 * largest);
  });
}

function device(): CudaDevice {
  const { device } = asCuda(tf.backend()).runtime;
  if (device instanceof CudaDevice) return device;
  throw new Error('the backend runs on another device');
}

function packed(rows: number, columns: number, format: WeightFormat) {
  const tensor = uniform('w', [rows, columns]);
  const values = Float32Array.from(tensor.dataSync());
  tensor.dispose();
  const readRows = (first: number, count: number) =>
    new Uint8Array(values.slice(first * columns, (first + count) * columns).buffer);
  return weightPacker().pack({ shape: [rows, columns], dtype: 'F32', readRows }, format, 64);
}
