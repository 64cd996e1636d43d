// Linear, Embedding, the norms, ResidualBlock, and initial values of parameters.
import {
  disposeParameters,
  Embedding,
  initializers,
  initParameters,
  LayerNorm,
  Linear,
  Mamba2Mixer,
  type Mixer,
  MLP,
  type Parameter,
  type ParameterSpec,
  Parameters,
  ResidualBlock,
  RMSNorm,
  weightPacker,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import seedrandom from 'seedrandom';
import { describeOnBackends, maxError, tidily } from '../backends.js';
import { Draw } from '../numbers.js';
import { softplus } from '../reference.js';

/** Random parameters, which are freed afterwards. */
async function withParameters(
  specs: ParameterSpec[],
  body: (given: Parameters, made: ReadonlyMap<string, Parameter>) => Promise<void>,
): Promise<void> {
  const made = await initParameters(specs, 'other');
  try {
    await tidily(() => body(new Parameters(made), made));
  } finally {
    disposeParameters(made);
  }
}

async function valuesOf(parameter: Parameter | undefined): Promise<number[]> {
  if (!parameter) throw new Error('no such parameter');
  if (parameter instanceof tf.Tensor) return Array.from(await parameter.data());
  return Array.from(await weightPacker().unpack(parameter));
}

describeOnBackends('other layers', () => {
  it('Linear multiplies, with and without a bias', () =>
    withParameters(Linear.parameters(3, 5, true), async (given, made) => {
      const x = new Draw(1).normal([2, 4, 3]).tensor();
      const weight = tf.tensor2d(await valuesOf(made.get('weight')), [5, 3]);
      const bias = tf.tensor1d(await valuesOf(made.get('bias')));
      const rows = tf.reshape(x, [8, 3]) as tf.Tensor2D;
      const expected = tf.reshape(tf.matMul(rows, weight, false, true), [2, 4, 5]);
      const withBias = new Linear(given).forward(x);
      expect(await maxError(withBias, tf.add(expected, bias))).to.be.below(1e-5);
      const bare = new Linear(new Parameters(new Map([...made].filter(([n]) => n === 'weight'))));
      expect(await maxError(bare.forward(x), expected)).to.be.below(1e-5);
      expect(Linear.parameters(3, 5, false).map(({ name }) => name)).to.deep.equal(['weight']);
    }));

  it('an unknown format is refused by name before anything is created', async () => {
    for (const format of ['q4', 'F32', 'toString', '']) {
      const options: object = { format };
      const error: unknown = await initParameters(Linear.parameters(2, 2, false), 1, options).catch(
        (thrown: unknown) => thrown,
      );
      expect(String(error)).to.equal(
        `InvalidArgumentError: format: expected one of f32, bf16, f16, int8, int4, found '${format}'`,
      );
    }
  });

  it('Embedding returns the rows of its table', () =>
    withParameters(Embedding.parameters(7, 3), async (given, made) => {
      const table = tf.tensor2d(await valuesOf(made.get('weight')), [7, 3]);
      const ids = tf.tensor2d([[6, 0, 6]], undefined, 'int32');
      const expected = tf.gather(table, ids);
      expect(await maxError(new Embedding(given).forward(ids), expected)).to.equal(0);
    }));

  it('LayerNorm and RMSNorm normalise the last axis', () =>
    tidily(async () => {
      const weights = [1, 2, -1, 0.5];
      const [weight, bias] = [tf.tensor1d(weights), tf.tensor1d([0, 1, 2, 3])];
      const given = new Parameters(
        new Map([
          ['weight', weight],
          ['bias', bias],
        ]),
      );
      const x = tf.tensor3d([1, 2, 3, 6, -4, 0, 2, 2], [1, 2, 4]);
      const expectRows = async (y: tf.Tensor, normed: number[][]) => {
        const expected = normed.map((row) => row.map((value, i) => value * (weights[i] ?? 0)));
        expect(await maxError(y, tf.tensor3d([expected]))).to.be.below(1e-5);
      };
      const eps = 1e-2;
      const rows = [
        [1, 2, 3, 6],
        [-4, 0, 2, 2],
      ];
      const rms = rows.map((row) => {
        const mean = row.reduce((s, value) => s + value * value, 0) / 4;
        return row.map((value) => value / Math.sqrt(mean + eps));
      });
      await expectRows(new RMSNorm(given, eps).forward(x), rms);
      const centred = rows.map((row) => {
        const mean = row.reduce((s, value) => s + value, 0) / 4;
        const variance = row.reduce((s, value) => s + (value - mean) ** 2, 0) / 4;
        return row.map((value) => (value - mean) / Math.sqrt(variance + eps));
      });
      await expectRows(tf.sub(new LayerNorm(given, eps).forward(x), bias), centred);
    }));

  it('ResidualBlock is x + mixer(norm(x))', () =>
    withParameters(MLP.parameters({ dModel: 4, dInner: 6 }), async (given) => {
      const norm = new RMSNorm(new Parameters(new Map([['weight', tf.tensor1d([1, 2, 3, 4])]])));
      const mixer: Mixer = new MLP({ dModel: 4, dInner: 6 }, given);
      const x = new Draw(2).normal([2, 3, 4]).tensor();
      const { numTensors } = tf.memory();
      const y = new ResidualBlock(norm, mixer).forward(x);
      expect(tf.memory().numTensors).to.equal(numTensors + 1);
      expect(await maxError(y, tf.add(x, mixer.forward(norm.forward(x))))).to.be.below(1e-5);
    }));
});

describe('initial values', () => {
  const config = { dModel: 64, headDim: 1, dState: 2 };

  it('are those of Mamba-2: dt log-uniform in its range, A uniform, D and norm one', () =>
    withParameters(Mamba2Mixer.parameters(config), async (_, made) => {
      const dt = (await valuesOf(made.get('dt_bias'))).map(softplus);
      expect(Math.min(...dt)).to.be.within(0.00099, 0.002);
      expect(Math.max(...dt)).to.be.within(0.05, 0.1001);
      expect(median(dt)).to.be.within(0.005, 0.02);
      const A = (await valuesOf(made.get('A_log'))).map(Math.exp);
      expect(Math.min(...A)).to.be.within(1, 2);
      expect(Math.max(...A)).to.be.within(15, 16.001);
      expect(median(A)).to.be.within(6.5, 10.5);
      for (const name of ['D', 'norm.weight']) {
        expect(new Set(await valuesOf(made.get(name))), name).to.deep.equal(new Set([1]));
      }
      const inProj = await valuesOf(made.get('in_proj.weight'));
      expect(Math.max(...inProj.map(Math.abs))).to.be.within(0.12, 1 / 8);
    }));

  it('have the specified distributions', () => {
    const draw = (init: initializers.Initializer, count: number) => {
      const values = new Float32Array(count);
      init(values, seedrandom.alea('initial'));
      return Array.from(values);
    };
    const normal = draw(initializers.normal(0.02), 20001);
    const mean = normal.reduce((s, value) => s + value, 0) / normal.length;
    const deviation = Math.sqrt(normal.reduce((s, value) => s + value * value, 0) / normal.length);
    expect(Math.abs(mean)).to.be.below(0.0005);
    expect(deviation).to.be.closeTo(0.02, 0.0005);
    expect(new Set(normal).size).to.be.above(19900);
    const uniform = draw(initializers.uniform(0.5), 10000);
    expect(Math.min(...uniform)).to.be.within(-0.5, -0.499);
    expect(Math.max(...uniform)).to.be.within(0.499, 0.5);
  });

  it('depend on the seed and the name, not on their order', async () => {
    const specs = Mamba2Mixer.parameters({ dModel: 4, headDim: 2, dState: 2 });
    const made = [
      await initParameters(specs, 1),
      await initParameters([...specs].reverse(), 1),
      await initParameters(specs, 2),
    ];
    const [first, reversed, other] = await Promise.all(
      made.map((one) => valuesOf(one.get('in_proj.weight'))),
    );
    expect(first).to.deep.equal(reversed);
    expect(first).to.not.deep.equal(other);
    for (const one of made) disposeParameters(one);
  });
});

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
