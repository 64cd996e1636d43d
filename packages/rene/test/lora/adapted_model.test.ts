// A loaded model with an adapter: the same numbers as a model that is loaded with it, in shared memory.
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { useBackend } from '@rene-js/layers';
import { errorOf, goldenPath, temporaryFolders } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import {
  AutoModelForCausalLM,
  type CausalLM,
  CheckpointError,
  type PretrainedOptions,
} from '../../src/index.js';
import { loadAdaptedModel } from '../../src/lora/adapted_model.js';
import { LoraAdapter } from '../../src/training/lora.js';

const DATA = fileURLToPath(new URL('../../../test/lora/data/', import.meta.url));
const BASE = `${DATA}base`;
const adapters = readdirSync(DATA).filter((name) =>
  existsSync(`${DATA}${name}/expected.safetensors`),
);

async function logitsOf(model: CausalLM): Promise<readonly number[]> {
  const tensor = model.forward([[3, 1, 4, 1, 5, 9, 2, 6]]);
  const values = Array.from(await tensor.data());
  tensor.dispose();
  return values;
}

/** The parameters of one model that are in the memory of another, and those that are not. */
function compare(model: CausalLM, base: CausalLM): { shared: string[]; own: string[] } {
  const tensorsOf = ({ parameters }: CausalLM) =>
    [...parameters].map(([name, parameter]) => ({
      name,
      id: (parameter instanceof tf.Tensor ? parameter : parameter.tensor).dataId,
    }));
  const ids = new Set(tensorsOf(base).map(({ id }) => id));
  const names = (isShared: boolean) =>
    tensorsOf(model).flatMap(({ name, id }) => (ids.has(id) === isShared ? [name] : []));
  return { shared: names(true), own: names(false) };
}

describe('an adapter of a loaded model', () => {
  const folder = temporaryFolders();
  const quiet = { onNotice: () => {} };
  const load = (dir: string, options: PretrainedOptions = {}) =>
    AutoModelForCausalLM.fromPretrained(dir, { backend: 'simd', ...quiet, ...options });
  after(() => useBackend('cpu'));

  for (const [i, name] of adapters.entries()) {
    it(`${name}: the same logits as if loaded with it, to the bit, and the base's stay`, async () => {
      const lora = `${DATA}${name}`;
      const whole = await load(BASE, { lora });
      const wanted = await logitsOf(whole);
      whole.dispose();
      const before = tf.memory().numTensors;
      const base = await load(BASE);
      const plain = await logitsOf(base);
      const adapted = await loadAdaptedModel(base, BASE, lora, quiet);
      expect(await logitsOf(adapted)).to.deep.equal(wanted);
      expect(wanted).not.to.deep.equal(plain);
      const { shared, own } = compare(adapted, base);
      expect(own).not.to.be.empty;
      expect(shared).not.to.be.empty;
      expect(await logitsOf(base)).to.deep.equal(plain);
      // Either may be the first to be disposed.
      const [first, second] = i % 2 === 0 ? [base, adapted] : [adapted, base];
      first.dispose();
      expect(await logitsOf(second)).to.deep.equal(second === base ? plain : wanted);
      second.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });
  }

  it('holds its own matrices in the dtype of the model, and those alone', async () => {
    for (const dtype of ['f32', 'bf16', 'int8', 'int4'] as const) {
      const lora = `${DATA}some_layers`;
      const [base, whole] = [await load(BASE, { dtype }), await load(BASE, { dtype, lora })];
      const adapted = await loadAdaptedModel(base, BASE, lora, { dtype, ...quiet });
      expect(await logitsOf(adapted), dtype).to.deep.equal(await logitsOf(whole));
      const { own } = compare(adapted, base);
      expect(own, dtype).to.deep.equal(
        compare(whole, whole).shared.filter((name) => own.includes(name)),
      );
      for (const model of [base, whole, adapted]) model.dispose();
    }
  });

  it('shares nothing that the adapter of the loaded model changes', async () => {
    const [one, other] = [`${DATA}plain`, `${DATA}saved_modules`];
    const base = await load(BASE, { lora: one });
    const whole = await load(BASE, { lora: other });
    const adapted = await loadAdaptedModel(base, BASE, other, { baseLora: one, ...quiet });
    expect(await logitsOf(adapted)).to.deep.equal(await logitsOf(whole));
    expect(compare(adapted, base).shared).not.to.be.empty;
    for (const model of [base, whole, adapted]) model.dispose();
  });

  it('shares what a hybrid holds joined or scaled', async () => {
    for (const name of ['granite-h-rope', 'falcon-h1', 'nemotron-h']) {
      const dir = goldenPath(`hybrids/${name}`);
      const trainable = await load(dir, { backend: 'cpu', trainable: true });
      const adapter = LoraAdapter.create(trainable, { rank: 2, targets: ['q_proj', 'in_proj'] });
      for (const variable of adapter.trainableVariables.values()) {
        tf.tidy(() => variable.assign(tf.add(variable, 0.25)));
      }
      const lora = folder();
      await adapter.save(lora);
      adapter.dispose();
      trainable.dispose();
      const [base, whole] = [await load(dir), await load(dir, { lora })];
      const adapted = await loadAdaptedModel(base, dir, lora, quiet);
      expect(await logitsOf(adapted), dir).to.deep.equal(await logitsOf(whole));
      expect(await logitsOf(adapted), dir).not.to.deep.equal(await logitsOf(base));
      const { shared, own } = compare(adapted, base);
      expect(shared, dir).to.include('embedding.weight');
      expect(
        own.every((each) => /in_proj|qkv|q_proj/.test(each)),
        own.join(),
      ).to.equal(true);
      for (const model of [base, whole, adapted]) model.dispose();
    }
  });

  it('is refused with the name of what does not fit, and leaves no tensor', async () => {
    const base = await load(BASE);
    const before = tf.memory().numTensors;
    const error = await errorOf(CheckpointError, () => loadAdaptedModel(base, BASE, '/nowhere/a'));
    expect(error.message).to.match(/nowhere\/a/);
    expect(tf.memory().numTensors).to.equal(before);
    base.dispose();
  });
});
