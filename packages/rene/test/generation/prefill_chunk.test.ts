// How many tokens a prompt's chunk has: in Node, in a worker, and on a page's thread.
import { golden } from '@rene-js/testing';
import { expect } from 'chai';
import { chunkFor } from '../../src/generation/prefill_chunk.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';

describe('the chunk of a prompt', () => {
  const model = (weights: number) => ({
    ...{ config: { nLayer: 24 }, parameters: new Map([['w', { shape: [weights] }]]) },
  });
  const chunk = (weights: number) => Reflect.apply(chunkFor, null, [model(weights)]);
  const withGlobal = <T>(name: string, run: () => T): T => {
    Reflect.set(globalThis, name, {});
    try {
      return run();
    } finally {
      Reflect.deleteProperty(globalThis, name);
    }
  };

  it('depends on where the model runs, and on a page on its size', () => {
    expect(chunk(1e9)).to.equal(512);
    expect(withGlobal('WorkerGlobalScope', () => chunk(1e9))).to.equal(128);
    const onPage = (weights: number) => withGlobal('document', () => chunk(weights));
    expect([1e3, 79e6, 1.3e9, 5e10].map(onPage)).to.deep.equal([128, 32, 2, 1]);
  });

  it('changes no result', async () => {
    const own = await ReneLMHeadModel.fromPretrained(golden('tiny-options'), { backend: 'simd' });
    const ids = Array.from({ length: 150 }, (_, i) => (i * 5) % 47);
    const whole = await own.generate(ids, { maxNewTokens: 4 });
    Reflect.set(globalThis, 'document', {});
    try {
      expect(await own.generate(ids, { maxNewTokens: 4 })).to.deep.equal(whole);
    } finally {
      Reflect.deleteProperty(globalThis, 'document');
      own.dispose();
    }
  });
});
