// The sampling kernel compared with a reference sampler in double precision.
import { expect } from 'chai';
import fc from 'fast-check';
import seedrandom from 'seedrandom';
import type { CudaDevice } from '../../../src/backends/cuda/cuda_device.js';
import type { SamplingParams } from '../../../src/internal.js';
import { candidates, distribution } from '../sampling_reference.js';
import { describeOnCuda, openCuda } from './both.js';

describeOnCuda('cuda: sampling', () => {
  let device: CudaDevice;
  before(async () => {
    device = await openCuda();
  });
  after(() => device.dispose());

  /** The kernel's tokens for rows of logits; only the first `vocabulary` logits count. */
  function sample(rows: Float32Array[], vocabulary: number, params: SamplingParams[]): number[] {
    const pitch = rows[0]?.length ?? 0;
    const addresses = [4 * pitch * rows.length, 4 * rows.length, 4 * rows.length];
    const [logits = 0, next = 0, positions = 0] = addresses.map((size) => device.allocate(size));
    const shared = device.allocateShared(44 * rows.length);
    const view = new DataView(shared.bytes.buffer, shared.bytes.byteOffset);
    rows.forEach((row, i) => {
      device.upload(logits + 4 * pitch * i, new Uint8Array(row.slice().buffer));
      const { random, temperature, topP, minP, topK } = params[i] ?? greedy;
      [random, temperature, topP, minP].forEach((value, j) => {
        view.setFloat64(40 * i + 8 * j, value, true);
      });
      view.setInt32(40 * i + 32, topK, true);
    });
    device.upload(positions, new Uint8Array(Int32Array.from(rows, (_, i) => i).buffer));
    const output = shared.address + 40 * rows.length;
    const pointers = [logits, shared.address, next, output, positions];
    device.launch('sample_tokens', { grid: [rows.length], block: 1024 }, pointers, [
      vocabulary,
      pitch,
    ]);
    device.synchronize();
    const ids = rows.map((_, i) => view.getInt32(40 * rows.length + 4 * i, true));
    const advanced = new Int32Array(rows.length);
    device.download(new Uint8Array(advanced.buffer), positions);
    expect([...advanced]).to.deep.equal(rows.map((_, i) => i + 1));
    for (const address of [logits, next, positions]) device.free(address);
    shared.free();
    return ids;
  }

  const greedy: SamplingParams = { random: 0, temperature: 0, topK: 0, topP: 1, minP: 0 };

  it('samples only tokens that the filters keep, with ties', () =>
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.integer(),
          vocabulary: fc.integer({ min: 1, max: 3000 }),
          padding: fc.integer({ min: 0, max: 9 }),
          // Coarse logits have ties.
          step: fc.constantFrom(0, 0.5, 4),
          ruledOut: fc.constantFrom(0, 0.3),
          temperature: fc.constantFrom(0.3, 1, 2.5),
          topK: fc.constantFrom(0, 1, 2, 40, 5000),
          topP: fc.constantFrom(0, 0.05, 0.5, 0.9, 0.999, 1),
          minP: fc.constantFrom(0, 0.02, 1),
        }),
        ({ seed, vocabulary, padding, step, ruledOut, ...filters }) => {
          const random = seedrandom(String(seed));
          const row = Float32Array.from({ length: vocabulary + padding }, (_, id) => {
            if (id >= vocabulary) return 1e9; // never sampled
            const logit = 12 * (random() + random() + random() - 1.5);
            if (random() < ruledOut && id > 0) return Number.NEGATIVE_INFINITY;
            // The kernel orders -0 below 0.
            return step > 0 ? Math.round(logit / step) * step + 0 : logit;
          });
          const params = [0, 0.999999, random(), random()].map((u) => ({ ...filters, random: u }));
          const ids = sample(
            params.map(() => row),
            vocabulary,
            params,
          );
          const kept = distribution(row.subarray(0, vocabulary), params[0] ?? greedy);
          ids.forEach((id, i) => {
            expect(candidates(kept, params[i]?.random ?? 0)).to.include(id);
          });
        },
      ),
      { numRuns: 40 },
    ));

  it('top p of equal weights includes no extra token by rounding', () => {
    const filters = { random: 0.999999, temperature: 1, topK: 0, minP: 0 };
    const rows = [10, 10, 7].map((n) =>
      new Float32Array(10).fill(Number.NEGATIVE_INFINITY).fill(2, 0, n),
    );
    const params = [0.9, 0.3, 0.5].map((topP) => ({ ...filters, topP }));
    expect(sample(rows, 10, params)).to.deep.equal([8, 2, 3]);
  });

  it('is greedy at temperature 0, with the lowest id of equal logits', () => {
    const row = Float32Array.of(-3, 2, -1, 2, 1.5, 9);
    expect(sample([row, row.map((v) => -v)], 5, [greedy, greedy])).to.deep.equal([1, 0]);
  });

  it('returns -1 if there is no token to sample', () => {
    const nan = Float32Array.of(1, Number.NaN, 3);
    const none = new Float32Array(3).fill(Number.NEGATIVE_INFINITY);
    const sampled = { ...greedy, temperature: 1, random: 0.5 };
    expect(sample([none, nan], 3, [greedy, sampled])).to.deep.equal([-1, -1]);
    expect(sample([nan], 3, [greedy]), 'greedy passes over NaN, as the host does').to.deep.equal([
      2,
    ]);
  });

  it("supports a vocabulary as large as the model's", () => {
    const random = seedrandom('large');
    const row = Float32Array.from({ length: 50288 }, () => 6 * (random() + random() - 1));
    const filters = { temperature: 0.8, topK: 0, topP: 0.9, minP: 0 };
    const params = [0.1, 0.7].map((u) => ({ ...filters, random: u }));
    const kept = distribution(row.subarray(0, 50280), params[0] ?? greedy);
    sample([row, row], 50280, params).forEach((id, i) => {
      expect(candidates(kept, params[i]?.random ?? 0)).to.include(id);
    });
  });
});
