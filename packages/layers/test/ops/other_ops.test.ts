// causalConv1d, the norms, packedMatMul, gatedActivation, gatedMLP, embeddingLookup and crossEntropy compared
// with plain loops.
import {
  activations,
  causalConv1d,
  crossEntropy,
  embeddingLookup,
  gatedActivation,
  gatedMLP,
  gatedRmsNorm,
  packedMatMul,
  rmsNorm,
  rowsWeight,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describeOnBackends } from '../backends.js';
import { expectClose, Numbers, property, range, size } from '../numbers.js';
import * as reference from '../reference.js';

const anyActivation = fc.constantFrom(...activations);

describeOnBackends('causalConv1d', () => {
  const anyConv = fc.record({
    batch: size(1, 3),
    length: size(1, 12),
    channels: size(1, 6),
    width: size(1, 6),
    biased: fc.boolean(),
    stateful: fc.boolean(),
    activation: anyActivation,
  });

  property('is the convolution, whole and in pieces', anyConv, async (one, draw) => {
    const { batch, length, channels, width, activation } = one;
    const x = draw.normal([batch, length, channels]);
    const weight = draw.normal([channels, width]);
    const bias = one.biased ? draw.normal([channels]) : undefined;
    const initial = one.stateful ? draw.normal([batch, width, channels]) : undefined;
    const expected = reference.causalConv1d(x, weight, bias, initial, activation);
    const fixed = { bias: bias?.tensor(), activation, returnState: true };

    const options = { ...fixed, state: initial?.tensor() };
    const whole = causalConv1d(x.tensor(), weight.tensor(), options);
    await expectClose(whole.y, expected.y, 'y');
    await expectClose(whole.state, expected.state, 'state');

    let state = initial?.tensor();
    let start = 0;
    const parts = draw.parts(length).map((count) => {
      const cut = tf.slice(x.tensor(), [0, start, 0], [-1, count, -1]);
      const out = causalConv1d(cut, weight.tensor(), { ...fixed, state });
      state = out.state;
      start += count;
      return out.y;
    });
    await expectClose(tf.concat(parts, 1), expected.y, 'y in pieces');
    await expectClose(state, expected.state, 'state after pieces');
  });
});

describeOnBackends('norms', () => {
  const anyNorm = fc.record({
    tokens: size(1, 7),
    groups: size(1, 4),
    groupSize: size(1, 6),
    eps: fc.constantFrom(1e-5, 1e-2),
    normBeforeGate: fc.boolean(),
    gated: fc.boolean(),
  });

  property('gatedRmsNorm is the grouped norm', anyNorm, async (one, draw) => {
    const { tokens, groups, groupSize, eps, normBeforeGate } = one;
    const shape = [tokens, groups * groupSize];
    const [x, weight] = [draw.normal(shape), draw.normal([groups * groupSize])];
    const z = one.gated ? draw.normal(shape) : null;
    const expected = reference.gatedRmsNorm(x, z, weight, groupSize, eps, normBeforeGate);
    const options = { groupSize, eps, normBeforeGate };
    const y = gatedRmsNorm(x.tensor(), z?.tensor() ?? null, weight.tensor(), options);
    await expectClose(y, expected, 'y');
  });

  property('rmsNorm is the norm of any rank', anyNorm, async ({ tokens, groupSize, eps }, draw) => {
    const [x, weight] = [draw.normal([tokens, groupSize]), draw.normal([groupSize])];
    const expected = reference.gatedRmsNorm(x, null, weight, groupSize, eps, false);
    const y = rmsNorm(tf.reshape(x.tensor(), [1, tokens, 1, groupSize]), weight.tensor(), eps);
    await expectClose(y, new Numbers([1, tokens, 1, groupSize], expected.values), 'y');
  });
});

describeOnBackends('packedMatMul, gatedActivation and gatedMLP', () => {
  const anyProduct = fc.record({
    tokens: size(1, 6),
    inFeatures: size(1, 9),
    outFeatures: size(1, 9),
    biased: fc.boolean(),
    residual: fc.boolean(),
    activation: anyActivation,
    rank: size(1, 4),
  });

  property('packedMatMul is the product, with all that is fused', anyProduct, async (one, draw) => {
    const { inFeatures, outFeatures, activation, rank } = one;
    const tokens = rank === 1 ? 1 : one.tokens;
    const leading = rank === 1 ? [] : [...Array(rank - 2).fill(1), tokens];
    const x = draw.normal([tokens, inFeatures]);
    const weight = draw.normal([outFeatures, inFeatures]);
    const bias = one.biased ? draw.normal([outFeatures]) : undefined;
    const residual = one.residual ? draw.normal([tokens, outFeatures]) : undefined;
    const expected = reference.matMul(x, weight, bias, activation, residual);
    const shape = [...leading, outFeatures];
    const y = packedMatMul(
      tf.reshape(x.tensor(), [...leading, inFeatures]),
      rowsWeight(weight.tensor()),
      {
        bias: bias?.tensor(),
        activation,
        residual: residual && tf.reshape(residual.tensor(), shape),
      },
    );
    await expectClose(y, new Numbers(shape, expected.values), 'y');
  });

  const anyMlp = fc.record({
    tokens: size(1, 5),
    dModel: size(1, 6),
    hidden: size(1, 8),
    gated: fc.boolean(),
    normed: fc.boolean(),
    biased: fc.boolean(),
    residual: fc.boolean(),
    activation: anyActivation,
  });

  property('gatedMLP is its parts', anyMlp, async (one, draw) => {
    const { tokens, dModel, hidden, activation } = one;
    const x = draw.normal([tokens, dModel]);
    const [inProj, gateProj] = [draw.normal([hidden, dModel]), draw.normal([hidden, dModel])];
    const outProj = draw.normal([dModel, hidden]);
    const [inBias, gateBias] = [draw.normal([hidden]), draw.normal([hidden])];
    const [outBias, norm] = [draw.normal([dModel]), draw.normal([hidden])];
    const residual = one.residual ? draw.normal([tokens, dModel]) : undefined;
    const given = (numbers: Numbers) => (one.biased ? numbers : undefined);

    let middle = reference.matMul(x, inProj, given(inBias), activation);
    if (one.gated) {
      const gate = reference.matMul(x, gateProj, given(gateBias));
      middle = new Numbers(
        middle.shape,
        middle.values.map((value, i) => value * (gate.values[i] ?? Number.NaN)),
      );
    }
    if (one.normed) middle = reference.gatedRmsNorm(middle, null, norm, hidden, 1e-5, false);
    const expected = reference.matMul(middle, outProj, given(outBias), 'linear', residual);
    const y = gatedMLP(
      x.tensor(),
      {
        inProj: rowsWeight(inProj.tensor()),
        inProjBias: given(inBias)?.tensor(),
        gateProj: one.gated ? rowsWeight(gateProj.tensor()) : undefined,
        gateProjBias: one.gated ? given(gateBias)?.tensor() : undefined,
        normWeight: one.normed ? norm.tensor() : undefined,
        outProj: rowsWeight(outProj.tensor()),
        outProjBias: given(outBias)?.tensor(),
      },
      { activation, residual: residual?.tensor() },
    );
    await expectClose(y, expected, 'y', 1e-4);
  });

  property('gatedActivation is exact', size(1, 30), async (count, draw) => {
    const [x, multiplier] = [draw.normal([count], 4), draw.normal([count])];
    for (const activation of activations) {
      const alone = x.map((value) => reference.activate(value, activation));
      const product = alone.values.map((value, i) => value * (multiplier.values[i] ?? 0));
      await expectClose(gatedActivation(x.tensor(), null, activation), alone, activation);
      const gated = gatedActivation(x.tensor(), multiplier.tensor(), activation);
      await expectClose(gated, new Numbers([count], product), `gated ${activation}`);
    }
  });
});

describeOnBackends('embeddingLookup and crossEntropy', () => {
  const anyTable = fc.record({ rows: size(1, 9), dModel: size(1, 5), count: size(1, 8) });

  property('embeddingLookup takes rows', anyTable, async ({ rows, dModel, count }, draw) => {
    const table = draw.normal([rows, dModel]);
    const ids = draw.integers(count, rows);
    const y = embeddingLookup(tf.tensor2d(ids, [1, count], 'int32'), rowsWeight(table.tensor()));
    const expected = ids.flatMap((id) => range(dModel).map((i) => table.at(id, i)));
    await expectClose(y, new Numbers([1, count, dModel], expected), 'y', 1e-9);
  });

  const anyLogits = fc.record({
    tokens: size(1, 8),
    classes: size(2, 9),
    scale: fc.constantFrom(1, 30, 1000),
  });

  property('crossEntropy leaves targets below 0 out', anyLogits, async (one, draw) => {
    const logits = draw.normal([one.tokens, one.classes], one.scale);
    const targets = draw.integers(one.tokens, one.classes, -2);
    const loss = crossEntropy(logits.tensor(), tf.tensor1d(targets, 'int32'));
    await expectClose(loss, reference.crossEntropy(logits, targets), 'loss');
  });
});
