// Each kernel of a forward pass with bf16 activations compared with itself with f32 ones, on inputs that are
// exact in bf16: outputs are the same, rounded once; states and dt are bitwise identical.
import { expect } from 'chai';
import fc from 'fast-check';
import { convolve } from '../../../src/backends/cuda/causal_conv1d.js';
import { activate } from '../../../src/backends/cuda/gated_activation.js';
import { layoutOf, PACKED } from '../../../src/backends/cuda/layout.js';
import { linear } from '../../../src/backends/cuda/linear.js';
import { packRows } from '../../../src/backends/cuda/pack_rows.js';
import { norm as normRows } from '../../../src/backends/cuda/rms_norm.js';
import { CudaRuntime } from '../../../src/backends/cuda/runtime.js';
import { attend } from '../../../src/backends/cuda/sliding_window_attention.js';
import { scan } from '../../../src/backends/cuda/ssd_scan.js';
import type { NumberFormat } from '../../../src/backends/native/activations.js';
import { BackendError } from '../../../src/errors.js';
import type { Activation } from '../../../src/index.js';
import { describeOnCuda, openCuda } from './both.js';
import { DeviceNumbers, expectRounded, rounded, widened } from './numbers.js';

const activations = fc.constantFrom<Activation>('linear', 'silu', 'gelu');
const outputs = fc.constantFrom<NumberFormat>('f32', 'bf16', 'f16');
const gap = fc.integer({ min: 0, max: 3 });
const runs = { numRuns: 15 };

describeOnCuda('cuda: bf16 activations', () => {
  let runtime: CudaRuntime;
  let device: DeviceNumbers;
  before(async () => {
    runtime = new CudaRuntime(await openCuda());
    device = new DeviceNumbers(runtime);
  });
  afterEach(() => device.free());
  after(() => runtime.dispose());

  it('norms and gates', () =>
    fc.assert(
      fc.property(
        fc.record({
          rows: fc.integer({ min: 1, max: 5 }),
          groups: fc.integer({ min: 1, max: 3 }),
          groupSize: fc.integer({ min: 1, max: 150 }),
          gate: fc.constantFrom('none', 'before', 'after'),
          hasWeight: fc.boolean(),
          gap,
          yFormat: outputs,
          inPlace: fc.boolean(),
        }),
        ({ rows, groups, groupSize, gate, hasWeight, gap, yFormat, inPlace }) => {
          const columns = groups * groupSize;
          const stride = columns + gap;
          const [x, z] = [device.draw(rows * stride, 3), device.draw(rows * stride, 4)];
          const weight = hasWeight || gate === 'none' ? device.put(device.draw(columns)) : 0;
          const run = (xFormat: 'f32' | 'bf16', format: NumberFormat, ownSpace: boolean) => {
            const from = device.put(x, xFormat);
            const y = ownSpace ? device.space(rows * stride, format) : from;
            normRows(runtime, {
              ...{ x: from, xStride: stride, xFormat, weight, rows, columns, groupSize },
              ...(gate !== 'none' && { z: device.put(z, xFormat), zStride: stride }),
              ...{ y, yStride: stride, yFormat: format, eps: 1e-5 },
              normBeforeGate: gate === 'after',
            });
            return rowsOf(device.take(y, rows * stride, format), stride, columns);
          };
          const exact = run('f32', 'f32', true);
          const ownSpace = !inPlace || yFormat === 'f32';
          expectRounded(run('bf16', yFormat, ownSpace), exact, yFormat, 'y');
          device.free();
        },
      ),
      runs,
    ));

  it('gated activations', () =>
    fc.assert(
      fc.property(
        fc.record({
          rows: fc.integer({ min: 1, max: 5 }),
          columns: fc.integer({ min: 1, max: 300 }),
          gap,
          activation: activations,
          gated: fc.boolean(),
          yFormat: outputs,
        }),
        ({ rows, columns, gap, activation, gated, yFormat }) => {
          const stride = columns + gap;
          const [x, m] = [device.draw(rows * stride, 6), device.draw(rows * stride)];
          const run = (xFormat: 'f32' | 'bf16', format: NumberFormat) => {
            const y = device.space(rows * columns, format);
            activate(runtime, {
              ...{ x: device.put(x, xFormat), xStride: stride, xFormat, activation },
              multiplier: gated ? device.put(m, xFormat) : 0,
              multiplierStride: stride,
              ...{ y, yStride: columns, yFormat: format, rows, columns },
            });
            return device.take(y, rows * columns, format);
          };
          expectRounded(run('bf16', yFormat), run('f32', 'f32'), yFormat, 'y');
          device.free();
        },
      ),
      runs,
    ));

  it('convolutions, with and without a window', () =>
    fc.assert(
      fc.property(
        fc.record({
          batch: fc.integer({ min: 1, max: 2 }),
          length: fc.integer({ min: 1, max: 30 }),
          channels: fc.integer({ min: 1, max: 140 }),
          width: fc.integer({ min: 1, max: 5 }),
          gap,
          activation: activations,
          hasBefore: fc.boolean(),
          inPlace: fc.boolean(),
        }),
        ({ batch, length, channels, width, gap, activation, hasBefore, inPlace }) => {
          const stride = channels + gap;
          const tokens = batch * length;
          const windows = batch * width * channels;
          const x = device.draw(tokens * stride, 2);
          const weight = device.put(device.draw(channels * width));
          const bias = device.put(device.draw(channels));
          const start = device.draw(windows);
          const run = (format: 'f32' | 'bf16') => {
            const y = device.space(tokens * channels, format);
            const before = hasBefore ? device.put(start) : 0;
            const after = inPlace && hasBefore ? before : device.space(windows);
            convolve(runtime, {
              ...{ x: device.put(x, format), xStride: stride, format, weight, bias, before, after },
              ...{ y, yStride: channels, batch, length, channels, width, activation },
            });
            return [
              device.take(y, tokens * channels, format),
              device.take(after, windows),
            ] as const;
          };
          const [exact, window] = run('f32');
          const [found, foundWindow] = run('bf16');
          expectRounded(found, exact, 'bf16', 'y');
          expect(foundWindow, 'window').to.deep.equal(window);
          device.free();
        },
      ),
      runs,
    ));

  const scans = fc.record({
    batch: fc.integer({ min: 1, max: 2 }),
    groups: fc.integer({ min: 1, max: 2 }),
    perGroup: fc.integer({ min: 1, max: 2 }),
    gap,
    skip: fc.constantFrom('none', 'head', 'channel'),
    hasState: fc.boolean(),
  });
  type Scan = {
    [K in 'batch' | 'groups' | 'perGroup' | 'gap' | 'length' | 'headDim' | 'dState']: number;
  } & { skip: string; hasState: boolean; rounds: boolean };

  function expectSameScan(options: Scan): void {
    const { batch, length, groups, perGroup, headDim, dState, gap, skip, hasState, rounds } =
      options;
    const heads = groups * perGroup;
    const tokens = batch * length;
    const stateSize = batch * heads * headDim * dState;
    // x, B and C are adjacent columns of one matrix, as after a mixer's convolution.
    const stride = heads * headDim + 2 * groups * dState + gap;
    const xBC = device.draw(tokens * stride);
    const fixed = {
      dt: device.put(device.draw(tokens * heads, 2)),
      dtStride: heads,
      A: device.put(device.draw(heads, 2).map((v) => -Math.abs(v))),
      D: skip === 'none' ? 0 : device.put(device.draw(heads * headDim)),
      dPerChannel: skip === 'channel',
      dtBias: device.put(device.draw(heads)),
      before: hasState ? device.put(device.draw(stateSize)) : 0,
      ...{ dtSoftplus: true, dtMin: 0, dtMax: 2, rounds },
      ...{ batch, length, heads, headDim, dState, groups },
    };
    const run = (format: 'f32' | 'bf16') => {
      const x = device.put(xBC, format);
      const bytes = format === 'bf16' ? 2 : 4;
      const y = device.space(tokens * heads * headDim, format);
      const after = device.space(stateSize);
      scan(runtime, {
        ...fixed,
        ...{ x, xStride: stride, bStride: stride, cStride: stride, format },
        B: x + heads * headDim * bytes,
        C: x + (heads * headDim + groups * dState) * bytes,
        ...{ y, yStride: heads * headDim, after },
      });
      return [
        device.take(y, tokens * heads * headDim, format),
        device.take(after, stateSize),
      ] as const;
    };
    const [exact, state] = run('f32');
    const [found, foundState] = run('bf16');
    expectRounded(found, exact, 'bf16', 'y');
    expect(foundState, 'state').to.deep.equal(state);
    device.free();
  }

  it('the recurrent scan, for all state sizes', () =>
    fc.assert(
      fc.property(
        scans,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 11 }),
        fc.constantFrom(1, 7, 32, 33, 64, 100, 128, 200, 256, 300, 512),
        (options, length, headDim, dState) =>
          expectSameScan({ ...options, length, headDim, dState, rounds: false }),
      ),
      { numRuns: 25 },
    ));

  it('the chunked scan, for rows that are aligned to 16 bytes and rows that are not', () =>
    fc.assert(
      fc.property(
        scans,
        fc.integer({ min: 64, max: 130 }),
        fc.constantFrom(3, 8, 16, 33, 40),
        fc.constantFrom(5, 8, 16, 64, 72, 127, 128),
        (options, length, headDim, dState) =>
          expectSameScan({ ...options, length, headDim, dState, rounds: true }),
      ),
      { numRuns: 12 },
    ));

  it('attention, with and without tiles and splits, with caches of both formats', () =>
    fc.assert(
      fc.property(
        fc.record({
          positions: fc.array(fc.integer({ min: 0, max: 90 }), { minLength: 1, maxLength: 2 }),
          length: fc.constantFrom(1, 3, 64, 70),
          kvHeads: fc.integer({ min: 1, max: 2 }),
          group: fc.integer({ min: 1, max: 2 }),
          headDim: fc.constantFrom(5, 8, 16, 64, 72, 130),
          window: fc.constantFrom(1, 5, 64, 300),
          gap: fc.constantFrom(0, 1, 8),
          hasCache: fc.boolean(),
          bf16Cache: fc.boolean(),
          rounds: fc.boolean(),
          yFormat: outputs,
        }),
        ({ positions, length, kvHeads, group, headDim, window, gap, hasCache, ...options }) => {
          const { bf16Cache, rounds, yFormat } = options;
          const batch = positions.length;
          const heads = kvHeads * group;
          const tokens = batch * length;
          const stride = (heads + 2 * kvHeads) * headDim + gap;
          const qkv = device.draw(tokens * stride, 1);
          const capacity = Math.min(window, 160);
          const cacheSize = batch * capacity * kvHeads * headDim;
          const cacheFormat = bf16Cache ? 'bf16' : 'f32';
          const [cacheK, cacheV] = [device.draw(cacheSize), device.draw(cacheSize)];
          const at = device.put(Float32Array.from(positions));
          runtime.device.upload(at, new Uint8Array(Int32Array.from(positions).buffer));
          const run = (format: 'f32' | 'bf16', yOf: NumberFormat) => {
            const q = device.put(qkv, format);
            const bytes = format === 'bf16' ? 2 : 4;
            const y = device.space(tokens * heads * headDim, yOf);
            const [k, v] = [device.put(cacheK, cacheFormat), device.put(cacheV, cacheFormat)];
            attend(widened(runtime), {
              q,
              k: q + heads * headDim * bytes,
              v: q + (heads + kvHeads) * headDim * bytes,
              ...(hasCache && { cache: { k, v, positions: at, capacity, format: cacheFormat } }),
              ...{ y, qStride: stride, kvStride: stride, yStride: heads * headDim },
              ...{ format, yFormat: yOf, batch, length, heads, kvHeads, headDim, window },
              ...{ scale: 1 / Math.sqrt(headDim), rounds },
              maxKeys: Math.min(window, hasCache ? Math.max(...positions) + length : length),
            });
            return [
              device.take(y, tokens * heads * headDim, yOf),
              device.take(k, cacheSize, cacheFormat),
              device.take(v, cacheSize, cacheFormat),
            ] as const;
          };
          const [exact, ...caches] = run('f32', 'f32');
          const [found, ...foundCaches] = run('bf16', yFormat);
          expectRounded(found, exact, yFormat, 'y');
          expect(foundCaches, 'caches').to.deep.equal(caches);
          device.free();
        },
      ),
      { numRuns: 24 },
    ));

  it('matmuls of many rows, with and without splits, with some features in f32', () =>
    fc.assert(
      fc.property(
        fc.record({
          rows: fc.constantFrom(64, 70, 130),
          columns: fc.oneof(fc.constantFrom(32, 96, 256, 512), fc.integer({ min: 1, max: 300 })),
          features: fc.integer({ min: 2, max: 150 }),
          format: fc.constantFrom<'bf16' | 'f16' | 'int8' | 'int4'>('bf16', 'f16', 'int8', 'int4'),
          gap: fc.constantFrom(0, 1, 8),
          activation: activations,
          hasBias: fc.boolean(),
          hasNorm: fc.boolean(),
          exactFeatures: fc.integer({ min: 0, max: 9 }),
          wide: fc.boolean(),
          yFormat: outputs,
        }),
        ({ rows, columns, features, format, gap, activation, hasBias, hasNorm, ...options }) => {
          const { exactFeatures, wide, yFormat } = options;
          const attrs = { format, layout: PACKED, shape: [features, columns], groupSize: 32 };
          const { bytes } = layoutOf(attrs);
          const weight = device.space(Math.ceil(bytes / 4));
          const dense = device.put(device.draw(features * columns));
          packRows(runtime, dense, 'F32', weight, attrs, 0, features, 0);
          const stride = columns + gap;
          // The values are exact in f16 too: they have five digits.
          const x = device.draw(rows * stride, 16).map(Math.round);
          const bias = hasBias ? device.put(device.draw(features)) : 0;
          const norm = hasNorm
            ? { weight: device.put(device.draw(columns)), groupSize: columns, eps: 1e-5 }
            : undefined;
          const first = Math.max(1, features - exactFeatures);
          const run = (xFormat: NumberFormat, yOf: NumberFormat) => {
            const y = device.space(rows * (features + gap), yOf);
            const exact = device.space(rows * exactFeatures + 1);
            linear(wide ? widened(runtime) : runtime, {
              ...{ x: device.put(x, xFormat), xStride: stride, xFormat, rows, weight, attrs, bias },
              ...{ y, yStride: features + gap, yFormat: yOf, activation, norm },
              ...(exactFeatures > 0 && { f32Tail: { first, y: exact, yStride: exactFeatures } }),
            });
            const all = rowsOf(
              device.take(y, rows * (features + gap), yOf),
              features + gap,
              features,
            );
            const count = exactFeatures > 0 ? first : features;
            return [
              rowsOf(all, features, count),
              device.take(exact, rows * exactFeatures),
            ] as const;
          };
          const [exact, tail] = run('f32', 'f32');
          const given = format === 'f16' && !hasNorm ? 'f16' : 'bf16';
          for (const xFormat of ['bf16', given] as const) {
            const [found, foundTail] = run(xFormat, yFormat);
            expectRounded(found, exact, yFormat, 'y');
            expect(foundTail, 'features that stay f32').to.deep.equal(tail);
          }
          device.free();
        },
      ),
      { numRuns: 24 },
    ));

  it('matmuls of few rows and with f32 weights refuse bf16 activations', () => {
    const call = { x: 0, xStride: 64, weight: 0, y: 0, yStride: 8 };
    const attrs = { layout: PACKED, shape: [8, 64], groupSize: 32 };
    const few = { ...call, rows: 8, attrs: { ...attrs, format: 'bf16' as const } };
    const plain = { ...call, rows: 9, attrs: { ...attrs, format: 'f32' as const } };
    for (const wrong of [few, plain]) {
      expect(() => linear(runtime, { ...wrong, xFormat: 'bf16' })).to.throw(BackendError, 'f32');
      expect(() => linear(runtime, { ...wrong, yFormat: 'bf16' })).to.throw(BackendError, 'f32');
    }
  });

  it('rounding is to nearest, ties to even', () => {
    const values = Float32Array.of(1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -3.3, 65519, 2 ** -20);
    expect([...rounded(values, 'bf16')].slice(0, 3)).to.deep.equal([1, 1, 1 + 2 ** -6]);
    for (const format of ['bf16', 'f16'] as const) {
      const x = device.put(values);
      const y = device.space(values.length, format);
      activate(runtime, {
        ...{ x, xStride: 6, multiplier: 0, multiplierStride: 0, y, yStride: 6, yFormat: format },
        ...{ rows: 1, columns: 6, activation: 'linear' },
      });
      expectRounded(device.take(y, 6, format), values, format, 'y');
    }
  });
});

/** The first `columns` values of rows with a stride of `stride` values. */
function rowsOf(values: Float32Array, stride: number, columns: number): Float32Array {
  return values.filter((_, i) => i % stride < columns);
}
