// Gradients of the fused mixers equal those of their primitives, which the ops record under a tape; and they
// leak no tensors.
import { attentionMixer, gatedMLP, mamba2Mixer, rowsWeight } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { runKernel } from '../../src/registry.js';
import { describeOnBackends, maxError, tidily } from '../backends.js';
import { mamba2Sizes, mamba2Weights } from '../mamba2_weights.js';
import { Draw } from '../numbers.js';

const dModel = 4;

/** The attributes of a packed weight with plain rows. */
const rows = (weight: tf.Tensor) => ({
  format: 'f32' as const,
  layout: 'rows',
  shape: weight.shape,
  groupSize: 0,
});

/** Sum of each output times fixed random values. */
function loss(outputs: readonly tf.Tensor[]): tf.Scalar {
  const draw = new Draw(7);
  const terms = outputs.map((y) => tf.sum(tf.mul(y, draw.normal(y.shape).tensor())));
  return tf.addN(terms) as tf.Scalar;
}

async function expectSame(
  tensors: readonly tf.Tensor[],
  fused: () => tf.Tensor[],
  decomposed: () => tf.Tensor[],
): Promise<void> {
  const actual = tf.engine().gradients(() => loss(fused()), [...tensors]);
  const expected = tf.engine().gradients(() => loss(decomposed()), [...tensors]);
  expect(await maxError(actual.value, expected.value)).to.be.below(1e-4);
  for (const [i, gradient] of expected.grads.entries()) {
    const [largest = 0] = await tf.max(tf.abs(gradient)).data();
    expect(largest, `gradient ${i} is not zero`).to.be.above(0);
    const error = await maxError(actual.grads[i] ?? tf.zeros([0]), gradient);
    expect(error / Math.max(1, largest), `gradient ${i}`).to.be.below(1e-5);
  }
}

describeOnBackends('gradients of fused mixers', () => {
  for (const stateful of [false, true]) {
    it(`Mamba2Mixer${stateful ? ', through its states' : ''}`, () =>
      tidily(async () => {
        const weights = mamba2Weights(dModel);
        const draw = new Draw(stateful ? 1 : 2);
        const x = draw.normal([2, 6, dModel]).tensor();
        const residual = draw.normal([2, 6, dModel]).tensor();
        const states = {
          convState: draw.normal([2, 4, 20]).tensor(),
          ssmState: draw.normal([2, 4, 2, 3]).tensor(),
        };
        const { inProj, outProj, ...vectors } = weights;
        const [inTensor, outTensor] = [inProj.tensor, outProj.tensor];
        const inputs = {
          ...{ x, residual, inProj: inTensor, outProj: outTensor, ...vectors },
          ...(stateful && states),
        };
        const attrs = { ...mamba2Sizes, inProj: rows(inTensor), outProj: rows(outTensor) };
        await expectSame(
          Object.values(inputs),
          () => runKernel('Mamba2Mixer', inputs, attrs),
          () => {
            const given = stateful ? states : undefined;
            const out = mamba2Mixer(x, weights, mamba2Sizes, given, residual);
            return [out.y, out.convState, out.ssmState].filter((t) => t !== undefined);
          },
        );
      }));
  }

  for (const rotates of [false, true])
    it(`AttentionMixer${rotates ? ', with rotary positions' : ''}`, () =>
      tidily(async () => {
        const draw = new Draw(4);
        const [heads, kvHeads, headDim, window] = [4, 2, 3, 5];
        const tensor = (shape: number[]) => draw.normal(shape).tensor();
        const [x, residual] = [tensor([2, 7, dModel]), tensor([2, 7, dModel])];
        const projection = (heads + 2 * kvHeads) * headDim;
        const [inProj, inProjBias] = [tensor([projection, dModel]), tensor([projection])];
        const [outProj, outProjBias] = [tensor([dModel, heads * headDim]), tensor([dModel])];
        const trained = { x, residual, inProj, inProjBias, outProj, outProjBias };
        const rotary = rotates ? tf.tensor1d([0.7]) : undefined;
        const inputs = { ...trained, rotary };
        const sizes = { heads, kvHeads, headDim, window, scale: 0.5 };
        const attrs = { ...sizes, positions: [], inProj: rows(inProj), outProj: rows(outProj) };
        await expectSame(
          Object.values(trained),
          () => runKernel('AttentionMixer', inputs, attrs),
          () => {
            const weights = {
              ...{ inProj: rowsWeight(inProj), inProjBias },
              ...{ outProj: rowsWeight(outProj), outProjBias, rotary },
            };
            return [attentionMixer(x, weights, sizes, undefined, residual).y];
          },
        );
      }));

  for (const gated of [false, true]) {
    it(`GatedMLP${gated ? ', gated, with norm' : ''}`, () =>
      tidily(async () => {
        const draw = new Draw(3);
        const [x, residual] = [
          draw.normal([3, dModel]).tensor(),
          draw.normal([3, dModel]).tensor(),
        ];
        const [inProj, gateProj] = [
          draw.normal([5, dModel]).tensor(),
          draw.normal([5, dModel]).tensor(),
        ];
        const [outProj, inProjBias] = [
          draw.normal([dModel, 5]).tensor(),
          draw.normal([5]).tensor(),
        ];
        const [outProjBias, normWeight] = [
          draw.normal([dModel]).tensor(),
          draw.normal([5]).tensor(),
        ];
        const inputs = {
          ...{ x, residual, inProj, outProj, inProjBias, outProjBias },
          ...(gated && { gateProj, normWeight }),
        };
        const attrs = {
          ...{
            inProj: rows(inProj),
            outProj: rows(outProj),
            activation: 'silu' as const,
            eps: 1e-5,
          },
          ...(gated && { gateProj: rows(gateProj) }),
        };
        await expectSame(
          Object.values(inputs),
          () => runKernel('GatedMLP', inputs, attrs),
          () => {
            const weights = {
              ...{ inProj: rowsWeight(inProj), outProj: rowsWeight(outProj) },
              ...{ inProjBias, outProjBias },
              ...(gated && { gateProj: rowsWeight(gateProj), normWeight }),
            };
            return [gatedMLP(x, weights, { activation: 'silu', residual })];
          },
        );
      }));
  }

  it('leak no tensors', () =>
    tidily(async () => {
      const x = tf.ones([1, 5, dModel]);
      const weights = mamba2Weights(dModel);
      const { numTensors } = tf.memory();
      const gradient = tf.grad((t) => tf.sum(mamba2Mixer(t, weights, mamba2Sizes).y))(x);
      expect(tf.memory().numTensors).to.equal(numTensors + 1);
      gradient.dispose();
      expect(() =>
        tf.grad(() => {
          throw new Error('on purpose');
        })(x),
      ).to.throw('on purpose');
      expect(tf.memory().numTensors).to.equal(numTensors);
    }));
});
