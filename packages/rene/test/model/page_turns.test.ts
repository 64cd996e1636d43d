// On a page's own thread, a model gives the page turns between its layers. Results are the same.
import { ReneError, useBackend } from '@rene-js/layers';
import { errorOf, golden, leavesNothing } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { GenerationError } from '../../src/errors.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';

const ids = [[5, 1, 7, 3]];

/** Runs as on a page where each look at the clock finds that 20 ms have passed. @returns the result and the turns */
async function onPage<T>(run: () => Promise<T>): Promise<{ result: T; turns: number }> {
  const { now } = performance;
  let time = 0;
  let turns = 0;
  let isRunning = true;
  const count = () => {
    turns++;
    if (isRunning) setImmediate(count);
  };
  performance.now = () => {
    time += 20;
    return time;
  };
  Reflect.set(globalThis, 'document', {});
  setImmediate(count);
  try {
    return { result: await run(), turns };
  } finally {
    isRunning = false;
    performance.now = now;
    Reflect.deleteProperty(globalThis, 'document');
  }
}

for (const backend of ['cpu', 'simd'] as const) {
  describe(`a model on a page's thread, ${backend}`, () => {
    let model: ReneLMHeadModel;
    before(async () => {
      model = await ReneLMHeadModel.fromPretrained(golden('tiny-hybrid'), { backend });
    });
    after(() => model.dispose());

    it('has a turn after each layer of a forward pass, with the same logits and state', () =>
      leavesNothing(async () => {
        const [state, own] = [model.initialState(1), model.initialState(1)];
        const logits = model.forward(ids, { state: own, logitsToKeep: 1 });
        const { result, turns } = await onPage(() =>
          model.forwardInTurns(ids, { state, logitsToKeep: 1 }),
        );
        expect(turns).to.be.at.least(model.config.nLayer);
        expect([...result.dataSync()]).to.deep.equal([...logits.dataSync()]);
        const next = [state, own].map((each) => model.forward([[2]], { state: each }));
        const [a, b] = next.map((each) => [...each.dataSync()]);
        expect(a).to.deep.equal(b);
        for (const each of [state, own, logits, result, ...next]) each.dispose();
      }));

    it('has turns while it generates, with the same tokens', async () => {
      const expected = await model.generate(ids, { maxNewTokens: 6 });
      const { result, turns } = await onPage(() => model.generate(ids, { maxNewTokens: 6 }));
      expect(result.sequences).to.deep.equal(expected.sequences);
      // Several turns a token, with one layer or a few jobs between two of them.
      expect(turns).to.be.at.least(6 * 3);
    });

    it('leaves nothing where a layer fails', () =>
      leavesNothing(async () => {
        const state = model.initialState(1);
        const steps = onPage(() =>
          model.forwardInTurns(ids, {
            state,
            onHidden: (name) => {
              if (name === '2') throw new Error('stop');
            },
          }),
        );
        const error = await steps.catch(String);
        expect(error).to.equal('Error: stop');
        state.dispose();
      }));

    it('a change of the backend between two layers makes the state unusable', async () => {
      const other = backend === 'cpu' ? 'simd' : 'cpu';
      await useBackend(other);
      await useBackend(backend);
      await leavesNothing(async () => {
        const state = model.initialState(1);
        const onHidden = (name: string) => {
          if (name === '1') void tf.setBackend(other);
        };
        await errorOf(ReneError, () => model.forwardInTurns(ids, { state, onHidden }));
        await useBackend(backend);
        await errorOf(GenerationError, () => model.forward([[2]], { state }));
        state.dispose();
      });
    });
  });
}
