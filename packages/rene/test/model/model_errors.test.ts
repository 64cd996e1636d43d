// Errors of a model. They leak no tensors, and leave the state usable.
import { BackendError, InvalidArgumentError, ReneError, useBackend } from '@rene-js/layers';
import { describeOnBackends, errorOf } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { reneConfig } from '../../src/config.js';
import { GenerationError } from '../../src/errors.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import { RecurrentState } from '../../src/state.js';
import { afterOneMore, config, expectClose, ids, sizes, withModel } from './small_model.js';

describeOnBackends('model errors', (backend) => {
  const bad: Record<string, readonly (readonly number[])[]> = {
    'an id beyond the vocabulary': [
      [1, 2],
      [3, config.paddedVocabSize],
    ],
    'a negative id': [[-1]],
    'half an id': [[0.5]],
    'not a number': [[Number.NaN]],
    'ragged rows': [[1, 2], [3]],
    'an empty row': [[]],
    'no rows': [],
  };

  for (const [title, wrong] of Object.entries(bad)) {
    it(`${title} is refused, and the state stays usable`, () =>
      withModel(backend, async (model) => {
        const state = model.initialState(2);
        model.forward(ids, { state }).dispose();
        const expected = await afterOneMore(model, state);
        const { numTensors } = tf.memory();
        const error = await errorOf(InvalidArgumentError, () => model.forward(wrong, { state }));
        expect(error.argument).to.equal('ids');
        expect(tf.memory().numTensors).to.equal(numTensors);
        expectClose(await afterOneMore(model, state), expected);
        state.dispose();
      }));
  }

  it('tensors other than ids are refused', () =>
    withModel(backend, async (model) => {
      const wrong = [tf.zeros([2, 3]), tf.zeros([3], 'int32'), tf.zeros([1, 0], 'int32')];
      for (const tensor of wrong) {
        const error = await errorOf(InvalidArgumentError, () => model.forward(tensor));
        expect(error.message).to.include('int32 of shape [batch, length >= 1]');
      }
      tf.dispose(wrong);
    }));

  it('logitsToKeep must be an integer of at least 1', () =>
    withModel(backend, async (model) => {
      for (const logitsToKeep of [0, -1, 1.5, Number.NaN]) {
        const error = await errorOf(InvalidArgumentError, () =>
          model.forward(ids, { logitsToKeep }),
        );
        expect(error.argument).to.equal('logitsToKeep');
      }
    }));

  it('a state of another batch or model is refused and stays usable', () =>
    withModel(backend, async (model) => {
      const state = model.initialState(1);
      const batch = await errorOf(InvalidArgumentError, () => model.forward(ids, { state }));
      expect(batch.message).to.include("1 rows, the state's batch size");
      const others = [
        { ...sizes, nLayer: 3 },
        { ...sizes, ssm: { headDim: 8, dState: 5 } },
        { ...sizes, ssm: { headDim: 8, dState: 4, dConv: 3 } },
        { ...sizes, attn: { numHeads: 4, slidingWindowLength: 5 } },
        { ...sizes, attnLayerIdx: [2], mlpLayerIdx: [1] },
      ];
      for (const other of others) {
        const stranger = await ReneLMHeadModel.fromConfig(reneConfig(other), { backend });
        const foreign = stranger.initialState(1);
        const error = await errorOf(InvalidArgumentError, () =>
          model.forward([[1]], { state: foreign }),
        );
        expect(error.argument).to.equal('state');
        const joined = await errorOf(InvalidArgumentError, () =>
          RecurrentState.concat([state, foreign]),
        );
        expect(joined.argument).to.equal('concat: states');
        stranger.forward([[1]], { state: foreign }).dispose();
        foreign.dispose();
        stranger.dispose();
      }
      model.forward([[1]], { state }).dispose();
      state.dispose();
    }));

  it('a disposed state and a disposed model are refused', async () => {
    const model = await ReneLMHeadModel.fromConfig(config, { backend });
    const state = model.initialState(1);
    state.dispose();
    for (const use of [
      () => model.forward([[1]], { state }),
      () => state.clone(),
      () => state.gather([0]),
      () => RecurrentState.concat([state]),
    ]) {
      expect((await errorOf(GenerationError, use)).message).to.include('disposed');
    }
    model.dispose();
    for (const use of [() => model.forward([[1]]), () => model.initialState()]) {
      expect((await errorOf(ReneError, use)).message).to.include('this model was disposed');
    }
  });

  it('wrong batches and rows are refused', () =>
    withModel(backend, async (model) => {
      for (const batch of [0, -1, 1.5]) {
        await errorOf(InvalidArgumentError, () => model.initialState(batch));
      }
      const state = model.initialState(2);
      for (const rows of [[], [2], [-1], [0.5]]) {
        await errorOf(InvalidArgumentError, () => state.gather(rows));
      }
      await errorOf(InvalidArgumentError, () => RecurrentState.concat([]));
      state.dispose();
    }));

  it('another backend is refused by name', () =>
    withModel(backend, async (model) => {
      const other = backend === 'cpu' ? 'simd' : 'cpu';
      await useBackend(other);
      try {
        const error = await errorOf(ReneError, () => model.forward([[1]]));
        expect(error.message).to.include(`'${backend}'`).and.to.include(`'${other}'`);
      } finally {
        await useBackend(backend);
      }
    }));

  it('an unknown backend is refused before anything is created', async () => {
    const wrong = { backend: 'abacus' };
    await errorOf(BackendError, () => ReneLMHeadModel.fromConfig(config, wrong));
  });

  for (const at of ['0', '2', '3', 'norm_f']) {
    it(`a throw at '${at}' leaks no tensors and marks the state invalid; its clone stays usable`, () =>
      withModel(backend, async (model) => {
        const state = model.initialState(2);
        model.forward(ids, { state }).dispose();
        const clone = state.clone();
        const expected = await afterOneMore(model, state);
        const { numTensors } = tf.memory();
        const onHidden = (name: string) => {
          if (name === at) throw new Error('on purpose');
        };
        expect(() => model.forward([[1], [2]], { state, onHidden })).to.throw('on purpose');
        expect(tf.memory().numTensors).to.equal(numTensors);
        const error = await errorOf(GenerationError, () => model.forward([[1], [2]], { state }));
        expect(error.message).to.include('half-way');
        state.dispose();
        expectClose(await afterOneMore(model, clone), expected);
        clone.dispose();
      }));
  }

  it('a throw before the first block does not change the state', () =>
    withModel(backend, async (model) => {
      const state = model.initialState(2);
      const expected = await afterOneMore(model, state);
      const onHidden = () => {
        throw new Error('on purpose');
      };
      expect(() => model.forward(ids, { state, onHidden })).to.throw('on purpose');
      expectClose(await afterOneMore(model, state), expected);
      state.dispose();
    }));
});
