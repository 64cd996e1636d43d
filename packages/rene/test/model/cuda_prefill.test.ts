// A long prompt on CUDA, with scan and attention on the tensor cores.
import { canTestCuda, goldenPath, registerTestCuda } from '@rene-js/testing';
import { expect } from 'chai';
import { ReneLMHeadModel } from '../../src/rene_model.js';

(canTestCuda ? describe : describe.skip)('prefill on CUDA', () => {
  before(registerTestCuda);

  it('with bf16 weights is within a relative 1e-2 of f32; with f32 weights it is exact', async () => {
    const ids = [Array.from({ length: 200 }, (_, i) => (i * 37 + i * i) % 90)];
    // The file's values are exact in bf16: all three models have the same weights.
    const logits = async (backend: string, dtype: 'f32' | 'bf16') => {
      const model = await ReneLMHeadModel.fromPretrained(goldenPath('tiny-bf16'), {
        backend,
        dtype,
      });
      const state = model.initialState(1);
      const tensor = model.forward(ids, { state });
      const values = await tensor.data<'float32'>();
      tensor.dispose();
      state.dispose();
      model.dispose();
      return values;
    };
    const expected = await logits('cpu', 'f32');
    const largest = expected.reduce((top, v) => Math.max(top, Math.abs(v)), 0);
    const errorOf = (found: Float32Array) =>
      found.reduce((worst, v, i) => Math.max(worst, Math.abs(v - (expected[i] ?? 0))), 0) / largest;
    expect(errorOf(await logits('cuda', 'f32'))).to.be.below(1e-5);
    expect(errorOf(await logits('cuda', 'bf16'))).to.be.within(1e-5, 1e-2);
  });

  it('continues from any position: in chunks, and token by token', async () => {
    const ids = Array.from({ length: 170 }, (_, i) => (i * 53 + i * i) % 90);
    // With int8 weights, prefill rounds quantised values to bf16; single tokens do not.
    for (const [dtype, most] of [['bf16', 1e-2] as const, ['int8', 2e-2] as const]) {
      const options = { backend: 'cuda', dtype };
      const model = await ReneLMHeadModel.fromPretrained(goldenPath('tiny-bf16'), options);
      // The logits after the last token, for calls that end at these positions.
      const after = async (ends: readonly number[]) => {
        const state = model.initialState(1);
        let values = new Float32Array();
        let start = 0;
        for (const end of ends) {
          const logits = model.forward([ids.slice(start, end)], { state, logitsToKeep: 1 });
          values = Float32Array.from(await logits.data());
          logits.dispose();
          start = end;
        }
        state.dispose();
        return values;
      };
      const expected = await after([170]);
      const square = (sum: number, v: number) => sum + v * v;
      for (const ends of [
        [70, 170],
        [100, 166, 167, 168, 169, 170],
        [30, 100, 170],
      ]) {
        const differences = (await after(ends)).map((v, i) => v - (expected[i] ?? 0));
        const error = Math.sqrt(differences.reduce(square, 0) / expected.reduce(square, 0));
        expect(error, `${dtype}, ${ends}`).to.be.within(1e-6, most);
      }
      model.dispose();
    }
  });
});
