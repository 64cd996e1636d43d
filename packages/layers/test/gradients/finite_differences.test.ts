// Every gradient compared with central differences of the plain float64 ops, for random shapes. Covers what
// the goldens do not: gradients through states, limits, any chunk length, ignored targets, the norm of a
// gated MLP.
import {
  activations,
  causalConv1d,
  crossEntropy,
  embeddingLookup,
  gatedActivation,
  gatedRmsNorm,
  packedMatMul,
  rowsWeight,
  slidingWindowAttention,
  ssdScan,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describeOnBackends } from '../backends.js';
import {
  type Draw,
  expectClose,
  Numbers,
  numericGradient,
  property,
  range,
  size,
  weighted,
} from '../numbers.js';
import * as reference from '../reference.js';

type Inputs = Record<string, Numbers | undefined>;
type Named = (name: string) => tf.Tensor | undefined;

/**
 * Compares the gradients of sum(outputs * random weights) with respect to every input.
 *
 * @param naive computes the outputs from the current values of `inputs`
 * @param op computes the same outputs from tensors; an absent input is undefined
 */
async function expectGradients(
  inputs: Inputs,
  draw: Draw,
  naive: () => Numbers[],
  op: (input: Named) => (tf.Tensor | undefined)[],
): Promise<void> {
  const given = Object.entries(inputs).flatMap(([name, numbers]) =>
    numbers ? [{ name, numbers }] : [],
  );
  const tensors = given.map(({ numbers }) => numbers.tensor());
  const weights = naive().map(({ shape }) => draw.normal(shape));
  const { grads } = tf.engine().gradients(() => {
    const outputs = op((name) => tensors[given.findIndex((input) => input.name === name)]);
    return tf.addN(weights.map((weight, i) => tf.sum(tf.mul(outputs[i] ?? 0, weight.tensor()))));
  }, tensors);
  for (const [i, { name, numbers }] of given.entries()) {
    const expected = numericGradient(numbers, () => weighted(naive(), weights));
    await expectClose(grads[i], expected, `gradient of ${name}`);
  }
}

function need(tensor: tf.Tensor | undefined): tf.Tensor {
  if (!tensor) throw new Error('an input is missing');
  return tensor;
}

const runs = 12;

describeOnBackends('gradients by finite differences', () => {
  const anyScan = fc.record({
    batch: size(1, 2),
    length: size(1, 7),
    groups: size(1, 2),
    headsOfGroup: size(1, 2),
    dim: size(1, 3),
    n: size(1, 3),
    chunkSize: size(1, 4),
    skip: fc.constantFrom('none', 'head', 'channel'),
    biased: fc.boolean(),
    stateful: fc.boolean(),
    returnState: fc.boolean(),
    dtLimit: fc.constantFrom([0, Number.POSITIVE_INFINITY] as const, [0.3, 0.9] as const),
  });

  property(
    'ssdScan, through its states and limits',
    anyScan,
    async (one, draw) => {
      const { batch, length, groups, headsOfGroup, dim, n, skip, returnState } = one;
      const heads = groups * headsOfGroup;
      const inputs = {
        x: draw.normal([batch, length, heads, dim]),
        dt: draw.normal([batch, length, heads]),
        A: draw.normal([heads]).map((value) => Math.fround(-Math.exp(value))),
        B: draw.normal([batch, length, groups, n]),
        C: draw.normal([batch, length, groups, n]),
        D: skip === 'none' ? undefined : draw.normal(skip === 'head' ? [heads] : [heads, dim]),
        dtBias: one.biased ? draw.normal([heads]) : undefined,
        state: one.stateful ? draw.normal([batch, heads, dim, n]) : undefined,
      };
      await expectGradients(
        inputs,
        draw,
        () => {
          const { y, state } = reference.ssdScan(inputs, one.dtLimit);
          return returnState ? [y, state] : [y];
        },
        (input) => {
          const [x, dt, A, B, C] = ['x', 'dt', 'A', 'B', 'C'].map((name) => need(input(name)));
          const { y, state } = ssdScan(need(x), need(dt), need(A), need(B), need(C), {
            ...{ D: input('D'), dtBias: input('dtBias'), state: input('state') },
            ...{ dtLimit: one.dtLimit, chunkSize: one.chunkSize, returnState },
          });
          return [y, state];
        },
      );
    },
    runs,
  );

  const anyConv = fc.record({
    batch: size(1, 2),
    length: size(1, 6),
    channels: size(1, 3),
    width: size(1, 5),
    biased: fc.boolean(),
    stateful: fc.boolean(),
    returnState: fc.boolean(),
    activation: fc.constantFrom(...activations),
  });

  property(
    'causalConv1d, through its window',
    anyConv,
    async (one, draw) => {
      const { batch, length, channels, width, activation, returnState } = one;
      const inputs = {
        x: draw.normal([batch, length, channels]),
        weight: draw.normal([channels, width]),
        bias: one.biased ? draw.normal([channels]) : undefined,
        state: one.stateful ? draw.normal([batch, width, channels]) : undefined,
      };
      await expectGradients(
        inputs,
        draw,
        () => {
          const { x, weight, bias, state } = inputs;
          const out = reference.causalConv1d(x, weight, bias, state, activation);
          return returnState ? [out.y, out.state] : [out.y];
        },
        (input) => {
          const options = { bias: input('bias'), state: input('state'), activation, returnState };
          const { y, state } = causalConv1d(need(input('x')), need(input('weight')), options);
          return [y, state];
        },
      );
    },
    runs,
  );

  const anyAttention = fc.record({
    batch: size(1, 2),
    length: fc.constantFrom(1, 2, 5, 40),
    kvHeads: size(1, 2),
    group: size(1, 2),
    dim: size(1, 2),
    window: fc.constantFrom(1, 2, 4, 5, 39, null),
  });

  property(
    'slidingWindowAttention, over several blocks',
    anyAttention,
    async ({ batch, length, kvHeads, group, dim, window }, draw) => {
      const rows = length > 5 ? 1 : batch;
      const inputs = {
        q: draw.normal([rows, length, kvHeads * group, dim]),
        k: draw.normal([rows, length, kvHeads, dim]),
        v: draw.normal([rows, length, kvHeads, dim]),
      };
      const { q, k, v } = inputs;
      const limit = window ?? Number.POSITIVE_INFINITY;
      await expectGradients(
        inputs,
        draw,
        () => [reference.attention(q, k, v, limit, 0.8)],
        (input) => {
          const [tq, tk, tv] = ['q', 'k', 'v'].map((name) => need(input(name)));
          const options = { window, scale: 0.8 };
          return [slidingWindowAttention(need(tq), need(tk), need(tv), options).y];
        },
      );
    },
    8,
  );

  const anyNorm = fc.record({
    tokens: size(1, 3),
    groups: size(1, 3),
    groupSize: size(2, 4),
    normBeforeGate: fc.boolean(),
    gated: fc.boolean(),
  });

  property(
    'gatedRmsNorm',
    anyNorm,
    async ({ tokens, groups, groupSize, normBeforeGate, gated }, draw) => {
      const channels = groups * groupSize;
      const inputs = {
        x: draw.normal([tokens, channels]),
        z: gated ? draw.normal([tokens, channels]) : undefined,
        weight: draw.normal([channels]),
      };
      const { x, z, weight } = inputs;
      const eps = 1e-2;
      await expectGradients(
        inputs,
        draw,
        () => [reference.gatedRmsNorm(x, z ?? null, weight, groupSize, eps, normBeforeGate)],
        (input) => {
          const options = { groupSize, eps, normBeforeGate };
          const gate = input('z') ?? null;
          return [gatedRmsNorm(need(input('x')), gate, need(input('weight')), options)];
        },
      );
    },
    runs,
  );

  const anyProduct = fc.record({
    tokens: size(1, 3),
    inFeatures: size(1, 4),
    outFeatures: size(1, 4),
    biased: fc.boolean(),
    residual: fc.boolean(),
    activation: fc.constantFrom(...activations),
  });

  property(
    'packedMatMul and gatedActivation',
    anyProduct,
    async (one, draw) => {
      const { tokens, inFeatures, outFeatures, activation } = one;
      const inputs = {
        x: draw.normal([tokens, inFeatures]),
        weight: draw.normal([outFeatures, inFeatures]),
        bias: one.biased ? draw.normal([outFeatures]) : undefined,
        residual: one.residual ? draw.normal([tokens, outFeatures]) : undefined,
        multiplier: draw.normal([tokens, outFeatures]),
      };
      const { x, weight, bias, residual, multiplier } = inputs;
      await expectGradients(
        inputs,
        draw,
        () => {
          const y = reference.matMul(x, weight, bias, activation, residual);
          const gated = y.values.map(
            (value, i) =>
              reference.activate(value, activation) * (multiplier.values[i] ?? Number.NaN),
          );
          return [y, new Numbers(y.shape, gated)];
        },
        (input) => {
          const y = packedMatMul(need(input('x')), rowsWeight(need(input('weight'))), {
            ...{ bias: input('bias'), residual: input('residual'), activation },
          });
          return [y, gatedActivation(y, need(input('multiplier')), activation)];
        },
      );
    },
    runs,
  );

  const anyText = fc.record({ rows: size(2, 6), dModel: size(1, 3), count: size(1, 6) });

  property(
    'embeddingLookup tied to the head, and crossEntropy with ignored targets',
    anyText,
    async ({ rows, dModel, count }, draw) => {
      const table = draw.normal([rows, dModel]);
      const ids = draw.integers(count, rows);
      const targets = draw.integers(count, rows, -1);
      await expectGradients(
        { table },
        draw,
        () => {
          const values = ids.flatMap((id) => range(dModel).map((i) => table.at(id, i)));
          const logits = reference.matMul(new Numbers([count, dModel], values), table);
          return [reference.crossEntropy(logits, targets)];
        },
        (input) => {
          const weight = rowsWeight(need(input('table')));
          const logits = packedMatMul(embeddingLookup(tf.tensor1d(ids, 'int32'), weight), weight);
          return [crossEntropy(logits, tf.tensor1d(targets, 'int32'))];
        },
      );
    },
    runs,
  );
});
