// The scan on the tensor cores compared with the f32 recurrence on the same device.
import { expect } from 'chai';
import fc from 'fast-check';
import seedrandom from 'seedrandom';
import { CudaRuntime } from '../../../src/backends/cuda/runtime.js';
import { scan } from '../../../src/backends/cuda/ssd_scan.js';
import type { ScanCall } from '../../../src/backends/native/calls.js';
import { describeOnCuda, expectClose, openCuda } from './both.js';

describeOnCuda('cuda: the scan in chunks', () => {
  let runtime: CudaRuntime;
  before(async () => {
    runtime = new CudaRuntime(await openCuda());
  });
  after(() => runtime.dispose());

  it('equals the recurrence within the rounding of its operands', () =>
    fc.assert(
      fc.property(
        fc.record({
          batch: fc.integer({ min: 1, max: 2 }),
          length: fc.integer({ min: 64, max: 200 }),
          groups: fc.integer({ min: 1, max: 2 }),
          perGroup: fc.integer({ min: 1, max: 2 }),
          headDim: fc.integer({ min: 1, max: 70 }),
          dState: fc.integer({ min: 1, max: 128 }),
          skip: fc.constantFrom('none', 'head', 'channel'),
          hasState: fc.boolean(),
          inPlace: fc.boolean(),
          // Decays of a token from nearly none to complete.
          steepness: fc.constantFrom(0.01, 1, 30),
        }),
        ({ batch, length, groups, perGroup, headDim, dState, skip, hasState, ...options }) => {
          const heads = groups * perGroup;
          const random = seedrandom('scan');
          const addresses: number[] = [];
          const filled = (size: number, scale: number, shift = 0) => {
            const values = Float32Array.from(
              { length: size },
              () => (2 * random() - 1) * scale + shift,
            );
            const address = runtime.pool.allocate(size * 4);
            addresses.push(address);
            runtime.device.upload(address, new Uint8Array(values.buffer));
            return address;
          };
          const tokens = batch * length;
          const stateSize = batch * heads * headDim * dState;
          // x, B and C are adjacent columns of one matrix, as after a mixer's convolution.
          const stride = heads * headDim + 2 * groups * dState + 1;
          const xBC = filled(tokens * stride, 1);
          const call: Omit<ScanCall, 'y' | 'before' | 'after' | 'rounds'> = {
            x: xBC,
            xStride: stride,
            B: xBC + heads * headDim * 4,
            bStride: stride,
            C: xBC + (heads * headDim + groups * dState) * 4,
            cStride: stride,
            dt: filled(tokens * heads, 2),
            dtStride: heads,
            A: filled(heads, 0.4 * options.steepness, -0.5 * options.steepness),
            D: skip === 'none' ? 0 : filled(heads * headDim, 1),
            dPerChannel: skip === 'channel',
            dtBias: filled(heads, 1, -1),
            yStride: heads * headDim,
            ...{ batch, length, heads, headDim, dState, groups },
            dtSoftplus: true,
            dtMin: 0,
            dtMax: 2,
          };
          const start = filled(stateSize, 1);
          const results = [false, true].map((rounds) => {
            const y = filled(tokens * heads * headDim, 1);
            const after = filled(stateSize, 1);
            if (options.inPlace) runtime.device.copy(after, start, stateSize * 4);
            const before = hasState ? (options.inPlace ? after : start) : 0;
            scan(runtime, { ...call, y, before, after, rounds });
            return [
              [y, tokens * heads * headDim],
              [after, stateSize],
            ].map(([address = 0, size = 0]) => {
              const values = new Float32Array(size);
              runtime.device.download(new Uint8Array(values.buffer), address);
              return values;
            });
          });
          for (const address of addresses) runtime.pool.release(address);
          const [exact = [], rounded = []] = results;
          exact.forEach((values, i) => {
            expectClose(rounded[i] ?? new Float32Array(), values, 1e-2, i === 0 ? 'y' : 'state');
          });
          expect(rounded[0], 'another kernel').not.to.deep.equal(exact[0]);
        },
      ),
      { numRuns: 20 },
    ));
});
