// The model as a value: memory, errors, state, tf.InferenceModel, seeds.
import { BackendError, InvalidArgumentError, ReneError, useBackend } from '@rene-js/layers';
import { describeOnBackends, errorOf, golden } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { type ReneConfigOptions, reneConfig } from '../../src/config.js';
import { GenerationError } from '../../src/errors.js';
import { nextTokenLoss } from '../../src/loss.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import { RecurrentState } from '../../src/state.js';

const sizes: ReneConfigOptions = {
  dModel: 16,
  nLayer: 4,
  vocabSize: 30,
  eosTokenId: 29,
  ssm: { headDim: 8, dState: 4 },
  attnLayerIdx: [1],
  attn: { numHeads: 2, slidingWindowLength: 5 },
  mlpLayerIdx: [2],
};
const config = reneConfig(sizes);
const ids = [
  [1, 2, 3, 4, 5, 6, 7],
  [9, 8, 7, 6, 5, 4, 3],
];

/** Runs with a model of random weights, and requires that all memory is freed. */
async function withModel(
  backend: string,
  body: (model: ReneLMHeadModel) => unknown,
  seed: string | number = 'test',
): Promise<void> {
  const model = await ReneLMHeadModel.fromConfig(config, { backend, seed });
  try {
    await body(model);
  } finally {
    model.dispose();
  }
}

async function numbers(tensor: tf.Tensor): Promise<number[]> {
  const values = Array.from(await tensor.data());
  tensor.dispose();
  return values;
}

function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual.length).to.equal(expected.length);
  const errors = actual.map((value, i) => Math.abs(value - (expected[i] ?? Number.NaN)));
  expect(Math.max(...errors)).to.be.below(2e-5);
}

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

/** Logits of one more token after a state, which does not change. */
async function afterOneMore(model: ReneLMHeadModel, state: RecurrentState): Promise<number[]> {
  const clone = state.clone();
  const logits = await numbers(model.forward([[11], [12]], { state: clone }));
  clone.dispose();
  return logits;
}

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
