// The mixers as layers: parameters, inputs in pieces with a state, residual, states, and a short training
// that lowers a loss.
import {
  disposeParameters,
  GatedMLP,
  type GatedMLPConfig,
  InvalidArgumentError,
  initParameters,
  Mamba2Mixer,
  type Mixer,
  MLP,
  type ParameterSpec,
  Parameters,
  ReneError,
  SlidingWindowAttention,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { describeOnBackends, maxError, tidily } from '../backends.js';
import { Draw } from '../numbers.js';

interface LayerCase {
  specs: ParameterSpec[];
  make: (parameters: Parameters) => Mixer;
  /** Names and shapes, in the checkpoint's order. */
  parameters: Record<string, number[]>;
}

const dModel = 6;

function mamba2(config: object, parameters: Record<string, number[]>): LayerCase {
  const whole = { dModel, headDim: 3, dState: 4, ...config };
  const make = (given: Parameters) => new Mamba2Mixer(whole, given);
  return { specs: Mamba2Mixer.parameters(whole), make, parameters };
}

function attention(config: object, parameters: Record<string, number[]>): LayerCase {
  const whole = { dModel, numHeads: 2, ...config };
  const make = (given: Parameters) => new SlidingWindowAttention(whole, given);
  return { specs: SlidingWindowAttention.parameters(whole), make, parameters };
}

const mlpConfig: GatedMLPConfig = { dModel, dInner: 5 };
const normed: GatedMLPConfig = { ...mlpConfig, norm: true, bias: false, activation: 'gelu' };

const cases: Record<string, LayerCase> = {
  'Mamba2Mixer, the defaults': mamba2(
    {},
    {
      ...{ dt_bias: [4], A_log: [4], D: [4], 'in_proj.weight': [36, 6] },
      ...{ 'conv1d.weight': [20, 1, 4], 'conv1d.bias': [20] },
      ...{ 'norm.weight': [12], 'out_proj.weight': [6, 12] },
    },
  ),
  'Mamba2Mixer, all options': mamba2(
    {
      ...{ expand: 2.5, dSsm: 12, nGroups: 2, dConv: 3, dHasHdim: true, bias: true },
      ...{ normBeforeGate: true, dtLimit: [0.01, 0.2], chunkSize: 3 },
    },
    {
      // 2 x 3 plain, 12 z, 12 + 2 x 2 x 4 conv, 4 dt.
      ...{ dt_bias: [4], A_log: [4], D: [12], 'in_proj.weight': [50, 6], 'in_proj.bias': [50] },
      ...{ 'conv1d.weight': [28, 1, 3], 'conv1d.bias': [28], 'norm.weight': [12] },
      ...{ 'out_proj.weight': [6, 15], 'out_proj.bias': [6] },
    },
  ),
  'Mamba2Mixer without norm and convolution bias': mamba2(
    { rmsNorm: false, convBias: false, dConv: 2 },
    {
      ...{ dt_bias: [4], A_log: [4], D: [4], 'in_proj.weight': [36, 6] },
      ...{ 'conv1d.weight': [20, 1, 2], 'out_proj.weight': [6, 12] },
    },
  ),
  'SlidingWindowAttention without a window': attention(
    {},
    { 'in_proj.weight': [18, 6], 'out_proj.weight': [6, 6] },
  ),
  'SlidingWindowAttention, multi-query, biases, a window of 3': attention(
    {
      ...{ numHeadsKv: 1, headDim: 4, window: 3, softmaxScale: 0.7 },
      ...{ qkvProjBias: true, outProjBias: true },
    },
    {
      ...{ 'in_proj.weight': [16, 6], 'in_proj.bias': [16] },
      ...{ 'out_proj.weight': [6, 8], 'out_proj.bias': [6] },
    },
  ),
  MLP: {
    specs: MLP.parameters(mlpConfig),
    make: (given) => new MLP(mlpConfig, given),
    parameters: {
      ...{ 'in_proj.weight': [5, 6], 'in_proj.bias': [5] },
      ...{ 'out_proj.weight': [6, 5], 'out_proj.bias': [6] },
    },
  },
  'GatedMLP with norm': {
    specs: GatedMLP.parameters(normed),
    make: (given) => new GatedMLP(normed, given),
    parameters: {
      ...{ 'in_proj.weight': [5, 6], 'gate_proj.weight': [5, 6] },
      ...{ 'norm.weight': [5], 'out_proj.weight': [6, 5] },
    },
  },
};

/** Runs with a layer of random parameters, and frees it. */
async function withLayer(
  { specs, make }: LayerCase,
  body: (layer: Mixer, variables: tf.Variable[]) => Promise<void>,
  trainable = false,
): Promise<void> {
  const made = await initParameters(specs, 'layer', { trainable });
  const layer = make(new Parameters(made));
  const tensors = [...made.values()].map((p) => (p instanceof tf.Tensor ? p : p.tensor));
  try {
    await tidily(() =>
      body(
        layer,
        tensors.filter((t) => t instanceof tf.Variable),
      ),
    );
  } finally {
    layer.dispose();
    disposeParameters(made);
  }
}

const input = (batch: number, length: number, seed = 1) =>
  new Draw(seed).normal([batch, length, dModel]).tensor();

const cut = (x: tf.Tensor, start: number, length: number) =>
  tf.slice(x, [0, start, 0], [-1, length, -1]);

describeOnBackends('mixers', () => {
  for (const [title, one] of Object.entries(cases)) {
    describe(title, () => {
      it('has the parameters of the original', () => {
        const shapes = Object.fromEntries(one.specs.map(({ name, shape }) => [name, [...shape]]));
        expect(shapes).to.deep.equal(one.parameters);
        for (const { name, kind } of one.specs) {
          expect(kind, name).to.equal(/proj\.weight$/.test(name) ? 'matrix' : 'vector');
        }
      });

      it('names a missing parameter', () => {
        expect(() => one.make(new Parameters(new Map()))).to.throw(
          ReneError,
          /matrix named \w+_proj\.weight/,
        );
      });

      it('gives the same result in pieces, and adds the residual', () =>
        withLayer(one, async (layer) => {
          const x = input(2, 9);
          const whole = layer.forward(x);
          expect(whole.shape).to.deep.equal([2, 9, dModel]);
          const residual = input(2, 9, 2);
          const added = layer.forward(x, undefined, residual);
          expect(await maxError(added, tf.add(whole, residual))).to.be.below(1e-5);
          for (const lengths of [[9], [4, 5], [1, 1, 7], [1, 1, 1, 1, 1, 1, 1, 1, 1], [8, 1]]) {
            const state = layer.initialState(2) ?? undefined;
            let start = 0;
            const parts = lengths.map((length) => {
              const part = cut(x, start, length);
              const y = layer.forward(part, state, cut(residual, start, length));
              start += length;
              return y;
            });
            expect(await maxError(tf.concat(parts, 1), added), lengths.join()).to.be.below(2e-5);
            state?.dispose();
          }
        }));

      it('leaks no tensors in a forward pass', () =>
        withLayer(one, async (layer) => {
          const x = input(1, 5);
          const state = layer.initialState(1) ?? undefined;
          const { numTensors } = tf.memory();
          layer.forward(x).dispose();
          layer.forward(x, state).dispose();
          layer.forward(cut(x, 0, 1), state).dispose();
          // This test created the slice above.
          expect(tf.memory().numTensors).to.equal(numTensors + 1);
          state?.dispose();
        }));

      it('has states that clone, gather and concatenate', () =>
        withLayer(one, async (layer) => {
          const [x, next] = [input(2, 6), input(2, 2, 3)];
          const state = layer.initialState(2);
          if (!state) return;
          layer.forward(x, state);
          const first = state.clone();
          const expected = layer.forward(next, first);
          const rows = [1, 0, 1].map((row) => state.gather([row]));
          const [row = state, ...others] = rows;
          const joined = row.concat(others);
          const gathered = state.gather([1, 0, 1]);
          const moved = state.clone();
          layer.forward(next, moved);
          for (const copy of [joined, gathered]) {
            const order = tf.tensor1d([1, 0, 1], 'int32');
            const y = layer.forward(tf.gather(next, order), copy);
            expect(await maxError(y, tf.gather(expected, order))).to.be.below(1e-5);
          }
          // The original state is unchanged.
          expect(await maxError(layer.forward(next, state), expected)).to.be.below(1e-6);
          for (const one of [state, first, ...rows, joined, gathered, moved]) one.dispose();
        }));

      it('learns', () =>
        withLayer(
          one,
          async (layer, variables) => {
            expect(variables).to.have.length(one.specs.length);
            const [x, target] = [input(2, 7), input(2, 7, 4)];
            const optimizer = tf.train.sgd(0.3);
            const loss = () => tf.mean<tf.Scalar>(tf.square(tf.sub(layer.forward(x), target)));
            const before = variables.map((variable) => tf.clone(variable));
            const losses: number[] = [];
            for (let step = 0; step < 12; step++) {
              const value = optimizer.minimize(loss, true, variables);
              losses.push(...((await value?.data()) ?? []));
            }
            expect(losses.at(-1)).to.be.below(0.985 * (losses[0] ?? 0));
            for (const [i, variable] of variables.entries()) {
              const moved = await maxError(variable, before[i] ?? variable);
              expect(moved, one.specs[i]?.name).to.be.above(0);
            }
            optimizer.dispose();
          },
          true,
        ));
    });
  }
});

describe('mixer configurations', () => {
  const wrong: Record<string, [argument: string, make: () => unknown]> = {
    'an expansion that is not whole': [
      'Mamba2Mixer: expand',
      () => Mamba2Mixer.parameters({ dModel: 5, expand: 1.5, headDim: 1 }),
    ],
    'a head that does not divide': [
      'Mamba2Mixer: headDim',
      () => Mamba2Mixer.parameters({ dModel: 5, headDim: 3 }),
    ],
    'groups that do not divide': [
      'Mamba2Mixer: nGroups',
      () => Mamba2Mixer.parameters({ dModel: 6, headDim: 3, nGroups: 3 }),
    ],
    'key heads that do not divide': [
      'SlidingWindowAttention: numHeadsKv',
      () => SlidingWindowAttention.parameters({ dModel: 6, numHeads: 3, numHeadsKv: 2 }),
    ],
    'heads that do not divide': [
      'SlidingWindowAttention: numHeads',
      () => SlidingWindowAttention.parameters({ dModel: 6, numHeads: 4 }),
    ],
  };
  for (const [title, [argument, make]] of Object.entries(wrong)) {
    it(`${title}: refuses ${argument}`, () => {
      expect(make)
        .to.throw(InvalidArgumentError)
        .that.satisfies((error: InvalidArgumentError) => error.argument === argument);
    });
  }
});
