import '@tensorflow/tfjs-backend-cpu';
import { useBackend } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { AdamW, isDecayed } from '../../src/training/adamw.js';
import { learningRateAt } from '../../src/training/schedule.js';

describe('AdamW', () => {
  before(() => useBackend('cpu'));

  it('updates a weight by the formula', async () => {
    const before = tf.memory().numTensors;
    const options = { beta1: 0.8, beta2: 0.9, eps: 1e-3, weightDecay: 0.2 };
    const start = [1, -2, 3];
    const weight = tf.variable(tf.tensor1d(start));
    const bias = tf.variable(tf.tensor1d(start));
    const variables = new Map([
      ['layers.0.in_proj.weight', weight],
      ['layers.0.in_proj.bias', bias],
    ]);
    const optimizer = new AdamW(variables, options);
    const expected = start.map((w) => ({ decayed: w, plain: w, m: 0, v: 0 }));
    for (let step = 1; step <= 5; step++) {
      const gradient = [0.5 * step, -1, 0.1 / step];
      const scale = step === 3 ? 0.5 : 1;
      const learningRate = 0.1 / step;
      const tensor = tf.tensor1d(gradient);
      optimizer.step(new Map([...variables.keys()].map((n) => [n, tensor])), learningRate, scale);
      tensor.dispose();
      expected.forEach((e, i) => {
        const g = (gradient[i] ?? 0) * scale;
        e.m = 0.8 * e.m + 0.2 * g;
        e.v = 0.9 * e.v + 0.1 * g * g;
        const update = e.m / (1 - 0.8 ** step) / (Math.sqrt(e.v / (1 - 0.9 ** step)) + 1e-3);
        e.decayed = e.decayed * (1 - learningRate * 0.2) - learningRate * update;
        e.plain -= learningRate * update;
      });
    }
    const [decayed, plain] = [await weight.data(), await bias.data()];
    expected.forEach((e, i) => {
      expect(decayed[i]).to.be.closeTo(e.decayed, 1e-5);
      expect(plain[i]).to.be.closeTo(e.plain, 1e-5);
    });
    optimizer.dispose();
    tf.dispose([weight, bias]);
    expect(tf.memory().numTensors - before).to.equal(2); // the variables' initial tensors
  });

  it('decays matrices only', () => {
    const names = ['embedding.weight', 'mixer.in_proj.weight', 'mixer.conv1d.weight'];
    expect(names.filter(isDecayed)).to.deep.equal(names);
    const others = ['norm.weight', 'mixer.norm.weight', 'norm_f.weight', 'in_proj.bias'];
    const scan = ['mixer.A_log', 'mixer.D', 'mixer.dt_bias', 'mixer.conv1d.bias'];
    expect([...others, ...scan].filter(isDecayed)).to.deep.equal([]);
  });
});

describe('learningRateAt', () => {
  it('rises linearly and falls by a cosine', () => {
    const schedule = { learningRate: 1, minLearningRate: 0.1, warmupSteps: 4, steps: 15 };
    const rates = Array.from({ length: 15 }, (_, step) => learningRateAt(step, schedule));
    expect(rates.slice(0, 5)).to.deep.equal([0.25, 0.5, 0.75, 1, 1]);
    expect(rates[9]).to.be.closeTo(0.55, 1e-12);
    expect(rates[14]).to.be.closeTo(0.1, 1e-12);
  });
});
