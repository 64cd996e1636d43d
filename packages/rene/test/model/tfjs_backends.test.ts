// rene-tiny on tfjs's own backends, with composed kernels only. `webgl` runs in browser-tests.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { skipWithoutWebGpu } from '@rene-js/testing';
import { expect } from 'chai';
import { ReneLMHeadModel } from '../../src/rene_model.js';

const run = promisify(execFile);
const newTokens = 4;

describe("tfjs's own backends", () => {
  let expected: number[] = [];
  let expectedLogits: number[] = [];

  before(async () => {
    const model = await ReneLMHeadModel.fromPretrained('rene-tiny', {
      backend: 'simd',
      dtype: 'f32',
    });
    const prompt = Array.from({ length: 40 }, (_, i) => (i * 37) % 2000);
    const options = { maxNewTokens: newTokens, minNewTokens: newTokens };
    const { sequences } = await model.generate(prompt, options);
    const logits = model.forward([prompt], { logitsToKeep: 1 });
    expectedLogits = [...(await logits.data())].slice(0, 300);
    logits.dispose();
    expected = sequences[0]?.slice(40) ?? [];
    model.dispose();
    expect(expected).to.have.length(newTokens);
  });

  async function greedy(backend: string): Promise<object> {
    const script = fileURLToPath(new URL('./greedy_on.js', import.meta.url));
    const { stdout } = await run(process.execPath, [script, backend, String(newTokens)]);
    const { logits, ...found } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
    const errors = expectedLogits.map((v, i) => Math.abs(v - logits[i]));
    expect(Math.max(...errors), 'error of the logits').to.be.below(1e-4);
    return found;
  }

  it('wasm generates the same ids as simd', async () => {
    const found = await greedy('wasm');
    expect(found).to.deep.include({ backend: 'wasm', ids: expected, left: 0 });
  });

  describe('webgpu in Node', () => {
    before(skipWithoutWebGpu);

    it('generates the same ids as simd', async () => {
      const found = await greedy('webgpu');
      expect(found).to.deep.include({ backend: 'webgpu', ids: expected, left: 0 });
    });
  });
});
