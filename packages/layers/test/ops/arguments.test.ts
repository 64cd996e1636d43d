// Every invalid argument is refused by name before anything is created, and an op that throws leaks no
// tensors.
import {
  attentionMixer,
  causalConv1d,
  crossEntropy,
  embeddingLookup,
  gatedActivation,
  gatedMLP,
  gatedRmsNorm,
  InvalidArgumentError,
  layerNorm,
  mamba2Mixer,
  packedMatMul,
  rmsNorm,
  rowsWeight,
  slidingWindowAttention,
  ssdScan,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { describeOnBackends } from '../backends.js';
import { mamba2Sizes, mamba2Weights } from '../mamba2_weights.js';

type Tensors = Record<string, tf.Tensor>;

interface OpCase {
  /** Shapes of valid arguments. */
  shapes: Record<string, number[]>;
  /** Arguments that are int32. */
  integers?: string[];
  /** Arguments of any rank. */
  anyRank?: string[];
  /** Arguments whose last axis is free. */
  anySize?: string[];
  /** Arguments whose last axis defines a size, so that the error may name another argument. */
  sets?: string[];
  run: (t: Tensors) => unknown;
}

/** The tensor of that name. Throws for a mistake in the test. */
const get = (t: Tensors, name: string): tf.Tensor => {
  const tensor = t[name];
  if (!tensor) throw new Error(`the test has no ${name}`);
  return tensor;
};

const ops: Record<string, OpCase> = {
  rmsNorm: {
    shapes: { x: [2, 3, 4], weight: [4] },
    anyRank: ['x'],
    sets: ['weight'],
    run: (t) => rmsNorm(get(t, 'x'), get(t, 'weight')),
  },
  layerNorm: {
    shapes: { x: [2, 3, 4], weight: [4], bias: [4] },
    anyRank: ['x'],
    sets: ['weight', 'bias'],
    run: (t) => layerNorm(get(t, 'x'), get(t, 'weight'), get(t, 'bias')),
  },
  gatedRmsNorm: {
    shapes: { x: [2, 4], z: [2, 4], weight: [4] },
    sets: ['x', 'weight'],
    run: (t) => gatedRmsNorm(get(t, 'x'), get(t, 'z'), get(t, 'weight')),
  },
  causalConv1d: {
    shapes: { x: [2, 3, 4], weight: [4, 5], bias: [4], state: [2, 5, 4] },
    sets: ['x', 'weight'],
    run: (t) => causalConv1d(get(t, 'x'), get(t, 'weight'), { bias: t.bias, state: t.state }),
  },
  ssdScan: {
    shapes: {
      ...{ x: [2, 3, 4, 5], dt: [2, 3, 4], A: [4], B: [2, 3, 2, 6], C: [2, 3, 2, 6] },
      ...{ D: [4, 5], dtBias: [4], state: [2, 4, 5, 6] },
    },
    sets: ['x', 'dt', 'B'],
    run: (t) =>
      ssdScan(get(t, 'x'), get(t, 'dt'), get(t, 'A'), get(t, 'B'), get(t, 'C'), {
        ...{ D: t.D, dtBias: t.dtBias, state: t.state },
      }),
  },
  slidingWindowAttention: {
    shapes: {
      ...{ q: [2, 3, 4, 5], k: [2, 3, 2, 5], v: [2, 3, 2, 5] },
      ...{ 'cache.k': [2, 8, 2, 5], 'cache.v': [2, 8, 2, 5] },
    },
    sets: ['q'],
    run: (t) =>
      slidingWindowAttention(get(t, 'q'), get(t, 'k'), get(t, 'v'), {
        cache: { k: get(t, 'cache.k'), v: get(t, 'cache.v'), positions: [0, 1] },
      }),
  },
  packedMatMul: {
    shapes: { x: [2, 3], bias: [4], residual: [2, 4] },
    anyRank: ['x'],
    run: (t) =>
      tf.tidy(() =>
        packedMatMul(get(t, 'x'), rowsWeight(tf.ones([4, 3])), {
          ...{ bias: t.bias, residual: t.residual },
        }),
      ),
  },
  gatedActivation: {
    shapes: { x: [2, 3], multiplier: [2, 3] },
    sets: ['x'],
    anyRank: ['x'],
    run: (t) => gatedActivation(get(t, 'x'), get(t, 'multiplier'), 'silu'),
  },
  crossEntropy: {
    shapes: { logits: [3, 4], targets: [3] },
    integers: ['targets'],
    anySize: ['logits'],
    run: (t) => crossEntropy(get(t, 'logits'), get(t, 'targets')),
  },
  gatedMLP: {
    shapes: {
      ...{ x: [2, 3], inProjBias: [6], gateProjBias: [6], normWeight: [6] },
      ...{ outProjBias: [5], residual: [2, 5], inProj: [6, 3], gateProj: [6, 3], outProj: [5, 6] },
    },
    anyRank: ['x'],
    sets: ['inProj', 'outProj'],
    run: (t) =>
      gatedMLP(
        get(t, 'x'),
        {
          inProj: rowsWeight(get(t, 'inProj')),
          gateProj: rowsWeight(get(t, 'gateProj')),
          outProj: rowsWeight(get(t, 'outProj')),
          ...{ inProjBias: t.inProjBias, gateProjBias: t.gateProjBias },
          ...{ normWeight: t.normWeight, outProjBias: t.outProjBias },
        },
        { residual: t.residual },
      ),
  },
};

/** The argument that the error names. */
function refusedArgument(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof InvalidArgumentError) return error.argument;
    throw error;
  }
  throw new Error('it was accepted');
}

describeOnBackends('arguments of ops', () => {
  for (const [op, one] of Object.entries(ops)) {
    const { shapes, integers = [], anyRank = [], anySize = [], sets = [], run } = one;
    const tensorsOf = (changed: Record<string, tf.Tensor> = {}): Tensors => {
      const all = Object.entries(shapes).map(([name, shape]): [string, tf.Tensor] => [
        name,
        changed[name] ?? tf.ones(shape, integers.includes(name) ? 'int32' : 'float32'),
      ]);
      return Object.fromEntries(all);
    };

    it(`${op} accepts valid arguments`, () => {
      tf.tidy(() => {
        run(tensorsOf());
      });
    });

    for (const [name, shape] of Object.entries(shapes)) {
      it(`${op} refuses a wrong ${name} by name`, () =>
        void tf.tidy(() => {
          const matrix = /Proj$/.test(name);
          const dtype = integers.includes(name) ? 'int32' : 'float32';
          const last = [...shape.slice(0, -1), (shape.at(-1) ?? 0) + 1];
          const wrong: [tensor: tf.Tensor, blamed: string[]][] = [];
          if (!anySize.includes(name)) {
            wrong.push([tf.ones(last, dtype), sets.includes(name) ? Object.keys(shapes) : [name]]);
          }
          // The op does not check the rank and dtype of a packed weight's tensor.
          if (!matrix)
            wrong.push([tf.ones(shape, dtype === 'int32' ? 'float32' : 'int32'), [name]]);
          if (!matrix && !anyRank.includes(name)) {
            wrong.push([tf.ones([...shape, 1, 1], dtype), [name]]);
          }
          for (const [tensor, blamed] of wrong) {
            const given = tensorsOf({ [name]: tensor });
            const { numTensors } = tf.memory();
            const argument = refusedArgument(() => run(given));
            expect(argument).to.be.oneOf(blamed.map((one) => `${op}: ${one}`));
            expect(tf.memory().numTensors).to.equal(numTensors);
          }
        }));
    }
  }
});

describeOnBackends('values of ops', () => {
  const scan = (options: object) => () => {
    const BC = tf.ones([1, 2, 2, 3]);
    const [x, dt, A] = [tf.ones([1, 2, 2, 3]), tf.ones([1, 2, 2]), tf.ones([2])];
    return ssdScan(x, dt, A, BC, BC, options);
  };
  const attend =
    (window: number, positions: number[], capacity: number, kvHeads = 1) =>
    () => {
      const [q, kv] = [tf.ones([1, 1, 2, 3]), tf.ones([1, 1, kvHeads, 3])];
      const cache = tf.ones([1, capacity, kvHeads, 3]);
      return slidingWindowAttention(q, kv, kv, {
        window,
        cache: { k: cache, v: cache, positions },
      });
    };
  const wrong: Record<string, [argument: string, run: () => unknown]> = {
    'a chunk of no tokens': ['ssdScan: chunkSize', scan({ chunkSize: 0 })],
    'half a chunk': ['ssdScan: chunkSize', scan({ chunkSize: 1.5 })],
    'limits the wrong way round': ['ssdScan: dtLimit', scan({ dtLimit: [1, 0] })],
    'limits that are no numbers': ['ssdScan: dtLimit', scan({ dtLimit: [Number.NaN, 1] })],
    'a window of nothing': ['slidingWindowAttention: window', attend(0, [0], 1)],
    'a fractional window': ['slidingWindowAttention: window', attend(2.5, [0], 1)],
    'too many positions': ['slidingWindowAttention: cache.positions', attend(4, [0, 0], 1)],
    'a negative position': ['slidingWindowAttention: cache.positions', attend(4, [-1], 1)],
    'more slots than the window': ['slidingWindowAttention: cache.k', attend(4, [2], 5)],
    'fewer slots than were seen': ['slidingWindowAttention: cache.k', attend(4, [3], 2)],
    'heads that do not divide': ['slidingWindowAttention: k', attend(4, [0], 1, 3)],
    'a group size that does not divide': [
      'gatedRmsNorm: groupSize',
      () => gatedRmsNorm(tf.ones([2, 6]), null, tf.ones([6]), { groupSize: 4 }),
    ],
    'ids that are no integers': [
      'embeddingLookup: ids',
      () => embeddingLookup(tf.ones([2]), rowsWeight(tf.ones([3, 2]))),
    ],
  };
  for (const [title, [argument, run]] of Object.entries(wrong)) {
    it(`${title}: refuses ${argument}`, () =>
      void tf.tidy(() => {
        expect(refusedArgument(run)).to.equal(argument);
      }));
  }
});

describeOnBackends('arguments of mamba2Mixer', () => {
  const dModel = 8;
  const given = () => mamba2Weights(dModel);
  const states = () => ({ convState: tf.zeros([1, 4, 20]), ssmState: tf.zeros([1, 4, 2, 3]) });
  const longer = (t: tf.Tensor) => tf.ones(t.shape.map((axis) => axis + 1));

  it('accepts valid arguments', () =>
    void tf.tidy(() => {
      const x = tf.ones([1, 2, dModel]);
      mamba2Mixer(x, given(), mamba2Sizes, states(), x);
    }));

  const vectors = [
    'convWeight',
    'dtBias',
    'A',
    'D',
    'inProjBias',
    'convBias',
    'normWeight',
  ] as const;
  for (const name of [...vectors, 'outProjBias'] as const) {
    it(`refuses a wrong ${name} by name`, () =>
      void tf.tidy(() => {
        const weights = given();
        const changed = { ...weights, [name]: longer(weights[name] ?? tf.zeros([0])) };
        const x = tf.ones([1, 2, dModel]);
        const argument = refusedArgument(() => mamba2Mixer(x, changed, mamba2Sizes));
        expect(argument).to.equal(`mamba2Mixer: ${name}`);
      }));
  }

  it('refuses wrong projections, states, input and residual by name', () =>
    void tf.tidy(() => {
      const x = tf.ones([1, 2, dModel]);
      const weights = given();
      const { convState, ssmState } = states();
      const two = tf.ones([2, 2, dModel]);
      const refused = (
        input: tf.Tensor,
        changed: object,
        state?: { convState: tf.Tensor; ssmState: tf.Tensor },
        residual?: tf.Tensor,
      ) =>
        refusedArgument(() =>
          mamba2Mixer(input, { ...weights, ...changed }, mamba2Sizes, state, residual),
        );
      const odd = rowsWeight(tf.ones([3, dModel]));
      expect(refused(x, { inProj: odd })).to.equal('mamba2Mixer: inProj');
      expect(refused(x, { outProj: odd })).to.equal('mamba2Mixer: outProj');
      expect(refused(tf.ones([2, dModel]), {})).to.equal('mamba2Mixer: x');
      expect(refused(two, {}, states())).to.equal('mamba2Mixer: convState');
      const wrongSsm = { convState, ssmState: longer(ssmState) };
      expect(refused(x, {}, wrongSsm)).to.equal('mamba2Mixer: ssmState');
      expect(refused(x, {}, undefined, two)).to.equal('mamba2Mixer: residual');
    }));
});

describeOnBackends('arguments of attentionMixer', () => {
  const [dModel, heads, kvHeads, headDim] = [8, 4, 2, 3];
  const sizes = { heads, kvHeads, headDim, window: 5, scale: 1 };
  const given = () => ({
    inProj: rowsWeight(tf.ones([(heads + 2 * kvHeads) * headDim, dModel])),
    outProj: rowsWeight(tf.ones([dModel, heads * headDim])),
  });
  const cache = (slots: number) => {
    const shape = [1, slots, kvHeads, headDim];
    return { k: tf.zeros(shape), v: tf.zeros(shape), positions: [2] };
  };

  it('accepts valid arguments', () =>
    void tf.tidy(() => {
      const x = tf.ones([1, 2, dModel]);
      const { y, cache: after } = attentionMixer(x, given(), sizes, cache(5), x);
      expect(y.shape).to.deep.equal([1, 2, dModel]);
      expect(after?.positions).to.deep.equal([4]);
      expect(attentionMixer(x, given(), sizes).cache).to.equal(undefined);
    }));

  it('refuses wrong weights, sizes, caches, input and residual by name', () =>
    void tf.tidy(() => {
      const x = tf.ones([1, 2, dModel]);
      const two = tf.ones([2, 2, dModel]);
      const refused = (
        input: tf.Tensor,
        changed: object,
        {
          cache: kv,
          residual,
          ...other
        }: Partial<typeof sizes> & {
          cache?: ReturnType<typeof cache>;
          residual?: tf.Tensor;
        } = {},
      ) =>
        refusedArgument(() =>
          attentionMixer(input, { ...given(), ...changed }, { ...sizes, ...other }, kv, residual),
        );
      const odd = rowsWeight(tf.ones([3, dModel]));
      expect(refused(x, { inProj: odd })).to.equal('attentionMixer: inProj');
      expect(refused(x, { outProj: odd })).to.equal('attentionMixer: outProj');
      expect(refused(x, { inProjBias: tf.ones([3]) })).to.equal('attentionMixer: inProjBias');
      expect(refused(x, { outProjBias: tf.ones([3]) })).to.equal('attentionMixer: outProjBias');
      expect(refused(tf.ones([2, dModel]), {})).to.equal('attentionMixer: x');
      expect(refused(x, {}, { residual: two })).to.equal('attentionMixer: residual');
      expect(refused(two, {}, { cache: cache(5) })).to.equal('attentionMixer: cache.k');
      expect(refused(x, {}, { cache: cache(6) })).to.equal('attentionMixer: cache.k');
      expect(refused(x, {}, { window: 0 })).to.equal('attentionMixer: window');
      const uneven = { cache: { ...cache(5), positions: [1, 2] } };
      expect(refused(x, {}, uneven)).to.equal('attentionMixer: cache.positions');
    }));
});

describeOnBackends('ops that throw', () => {
  it('leak no tensors if a kernel fails half-way', () => {
    const scope = tf.memory().numTensors;
    const ones = tf.ones([1, 1, 1, 2]);
    const gone = tf.ones([1, 1, 1, 2]);
    gone.dispose();
    const cache = { k: tf.zeros([1, 1, 1, 2]), v: tf.zeros([1, 1, 1, 2]), positions: [1] };
    const { numTensors } = tf.memory();
    expect(() => slidingWindowAttention(ones, ones, gone, { cache })).to.throw();
    expect(tf.memory().numTensors).to.equal(numTensors);
    tf.dispose([ones, cache.k, cache.v]);
    expect(tf.memory().numTensors).to.equal(scope);
  });
});
