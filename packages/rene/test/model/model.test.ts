// The model as a value: memory, state, tf.InferenceModel, seeds.
import { InvalidArgumentError } from '@rene-js/layers';
import { describeOnBackends, errorOf, golden } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { nextTokenLoss } from '../../src/loss.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import { RecurrentState } from '../../src/state.js';
import { afterOneMore, config, expectClose, ids, numbers, withModel } from './small_model.js';

describeOnBackends('model memory', (backend) => {
  it('is constant over forwards, with and without a state', () =>
    withModel(backend, async (model) => {
      const before = tf.memory();
      for (let i = 0; i < 3; i++) {
        model.forward(ids).dispose();
        const state = model.initialState(2);
        const first = tf.memory().numTensors;
        model.forward(ids, { state }).dispose();
        for (let t = 0; t < 12; t++) model.forward([[t], [t + 1]], { state }).dispose();
        expect(tf.memory().numTensors, 'with a state that has moved on').to.equal(first);
        state.dispose();
      }
      expect(tf.memory().numTensors).to.equal(before.numTensors);
      expect(tf.memory().numBytes).to.equal(before.numBytes);
    }));

  it('does not grow with the sequence if attention has a window', () =>
    withModel(backend, async (model) => {
      const state = model.initialState(1);
      model.forward([[1, 2, 3, 4, 5]], { state }).dispose();
      const { numBytes } = tf.memory();
      for (let t = 0; t < 20; t++) model.forward([[t]], { state }).dispose();
      expect(tf.memory().numBytes).to.equal(numBytes);
      state.dispose();
    }));

  it('is freed by dispose(), also after training steps', async () => {
    const before = tf.memory();
    const model = await ReneLMHeadModel.fromConfig(config, { backend, trainable: true });
    const inputs = tf.tensor2d(ids, undefined, 'int32');
    const { value, grads } = tf.variableGrads(
      () => nextTokenLoss(model, inputs),
      [...model.trainableVariables.values()],
    );
    expect(Object.keys(grads)).to.have.length(model.parameters.size);
    tf.dispose([inputs, value, ...Object.values(grads)]);
    model.dispose();
    model.dispose();
    expect(tf.memory().numTensors).to.equal(before.numTensors);
    expect(tf.memory().numBytes).to.equal(before.numBytes);
  });

  it('is freed by a checkpoint, whose parameters are read once', async () => {
    const before = tf.memory().numTensors;
    const model = await ReneLMHeadModel.fromPretrained(golden('tiny-options'), { backend });
    model.forward([[1, 2]]).dispose();
    model.dispose();
    expect(tf.memory().numTensors).to.equal(before);
  });
});

describeOnBackends('model state', (backend) => {
  it('gives the same logits for any split into pieces', () =>
    withModel(backend, async (model) => {
      const whole = await numbers(model.forward(ids));
      for (const cuts of [
        [1, 1, 1, 1, 1, 1, 1],
        [3, 4],
        [6, 1],
        [1, 5, 1],
      ]) {
        const state = model.initialState(2);
        let start = 0;
        const parts = cuts.map((length) => {
          const piece = ids.map((row) => row.slice(start, start + length));
          start += length;
          return model.forward(piece, { state });
        });
        expectClose(await numbers(tf.concat(parts, 1)), whole);
        expect(state.positions).to.deep.equal([7, 7]);
        tf.dispose(parts);
        state.dispose();
      }
    }));

  it('clones are independent, in any order', () =>
    withModel(backend, async (model) => {
      const state = model.initialState(2);
      model.forward(ids, { state }).dispose();
      const clone = state.clone();
      const expected = await afterOneMore(model, state);
      for (let t = 0; t < 9; t++) model.forward([[t], [t]], { state }).dispose();
      expectClose(await afterOneMore(model, clone), expected);
      state.dispose();
      expectClose(await afterOneMore(model, clone), expected);
      clone.dispose();
    }));

  it('gathers and concatenates rows at different positions', () =>
    withModel(backend, async (model) => {
      const [long, short] = [model.initialState(1), model.initialState(1)];
      const text = [5, 4, 3, 2, 1, 0, 1, 2, 3, 4];
      model.forward([text], { state: long }).dispose();
      model.forward([[7, 8]], { state: short }).dispose();
      const joined = RecurrentState.concat([long, short]);
      const swapped = joined.gather([1, 0, 1]);
      expect(swapped.positions).to.deep.equal([2, 10, 2]);
      const actual = await numbers(
        model.forward(
          [
            [3, 6],
            [3, 6],
            [3, 6],
          ],
          { state: swapped },
        ),
      );
      const one = await numbers(model.forward([[3, 6]], { state: short }));
      const other = await numbers(model.forward([[3, 6]], { state: long }));
      expectClose(actual, [...one, ...other, ...one]);
      for (const state of [long, short, joined, swapped]) state.dispose();
    }));

  it('survives the tidy in which it was created and advanced', () =>
    withModel(backend, async (model) => {
      const states: RecurrentState[] = [];
      tf.tidy(() => {
        const made = model.initialState(2);
        model.forward(ids, { state: made });
        states.push(made.clone());
        made.dispose();
      });
      const [state] = states;
      if (!state) throw new Error('no state was made');
      expect(await afterOneMore(model, state)).to.have.length(2 * config.paddedVocabSize);
      state.dispose();
    }));
});

describeOnBackends('model as tf.InferenceModel', (backend) => {
  it('predict and execute give the logits of forward', () =>
    withModel(backend, async (model) => {
      const input = tf.tensor2d(ids, undefined, 'int32');
      const expected = await numbers(model.forward(ids));
      expect(model.inputs[0]).to.include({ name: 'input_ids', dtype: 'int32' });
      expect(model.outputs[0]?.shape).to.deep.equal([-1, -1, config.paddedVocabSize]);
      expectClose(await numbers(model.predict(input)), expected);
      expectClose(await numbers(model.predict([input])), expected);
      expectClose(await numbers(model.predict({ input_ids: input })), expected);
      const one = model.execute(input, 'logits');
      const many = model.execute({ input_ids: input }, ['logits', 'logits']);
      if (Array.isArray(one) || !Array.isArray(many))
        throw new Error('one for one, a list for many');
      for (const logits of [one, ...many]) expectClose(await numbers(logits), expected);
      for (const wrong of [() => model.predict({}), () => model.predict([])]) {
        expect((await errorOf(InvalidArgumentError, wrong)).argument).to.equal('inputs');
      }
      const unknown = await errorOf(InvalidArgumentError, () => model.execute(input, 'hidden'));
      expect(unknown.argument).to.equal('outputs');
      input.dispose();
    }));

  it('keeps only the last logits on request', () =>
    withModel(backend, async (model) => {
      const all = model.forward(ids);
      const two = model.forward(ids, { logitsToKeep: 2 });
      expect(two.shape).to.deep.equal([2, 2, config.paddedVocabSize]);
      const last = tf.slice(all, [0, 5, 0], [-1, 2, -1]);
      expectClose(await numbers(two), await numbers(last));
      const more = model.forward(ids, { logitsToKeep: 99 });
      expect(more.shape).to.deep.equal(all.shape);
      tf.dispose([all, more]);
    }));

  it('returns logits after some tokens only, or none', () =>
    withModel(backend, async (model) => {
      const all = await numbers(model.forward(ids));
      const { paddedVocabSize } = config;
      const places = [9, 0, 13, 9];
      for (const onHidden of [undefined, () => {}]) {
        const [state, plain] = [model.initialState(2), model.initialState(2)];
        const some = model.forward(ids, { state: plain, logitsAt: places, onHidden });
        expect(some.shape).to.deep.equal([4, 1, paddedVocabSize]);
        const rows = places.map((p) => all.slice(p * paddedVocabSize, (p + 1) * paddedVocabSize));
        expectClose(
          await numbers(some),
          rows.flatMap((row) => [...row]),
        );
        const none = model.forward(ids, { state, logitsAt: [], onHidden });
        expect(none.shape).to.deep.equal([0, 1, paddedVocabSize]);
        none.dispose();
        const next = [[1], [2]];
        const found = await numbers(model.forward(next, { state }));
        expectClose(found, await numbers(model.forward(next, { state: plain })));
        state.dispose();
        plain.dispose();
      }
      for (const place of [14, -1, 0.5]) {
        const error = await errorOf(InvalidArgumentError, () =>
          model.forward(ids, { logitsAt: [place] }),
        );
        expect(error.argument).to.equal('logitsAt');
      }
    }));

  it('a row does not depend on the others', () =>
    withModel(backend, async (model) => {
      const both = await numbers(model.forward(ids));
      const alone = await Promise.all(ids.map((row) => numbers(model.forward([row]))));
      expectClose(both, alone.flat());
    }));
});

describeOnBackends('model seeds', (backend) => {
  it('the same seed gives the same model, another seed another one', async () => {
    const logits: number[][] = [];
    for (const seed of ['a', 'a', 'b']) {
      await withModel(backend, async (m) => logits.push(await numbers(m.forward(ids))), seed);
    }
    expect(logits[0]).to.deep.equal(logits[1]);
    expect(logits[0]).to.not.deep.equal(logits[2]);
  });
});
