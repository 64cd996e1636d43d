// LoRA on hybrids: adapters name the original's modules, as in PEFT, whose matrices the layers hold joined.
import { goldenPath, temporaryFolders, testBackend } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { AutoModelForCausalLM } from '../../src/auto_model.js';
import { LoraAdapter } from '../../src/training/lora.js';

const ids = [[5, 17, 3, 44, 9, 23]];

describe('adapters of hybrids', () => {
  const newFolder = temporaryFolders();
  const targets: Record<string, string[]> = {
    'granite-h-rope': ['q_proj', 'v_proj', 'input_linear'],
    'falcon-h1': ['k_proj', 'in_proj', 'gate_proj', 'down_proj'],
    'nemotron-h': ['o_proj', 'up_proj', 'in_proj'],
  };
  for (const [name, modules] of Object.entries(targets)) {
    it(`${name}: ${modules.join(', ')}`, async () => {
      const dir = goldenPath(`hybrids/${name}`);
      const options = { backend: testBackend, dtype: 'f32' } as const;
      const base = await AutoModelForCausalLM.fromPretrained(dir, { ...options, trainable: true });
      const adapter = LoraAdapter.create(base, { rank: 3, targets: modules });
      for (const [variable, values] of adapter.trainableVariables) {
        expect(variable).to.match(/^model\.layers\.\d+\./);
        if (variable.endsWith('lora_B.weight')) {
          tf.tidy(() => values.assign(tf.randomUniform(values.shape, -0.05, 0.05, 'float32', 7)));
        }
      }
      const valuesOf = async (logits: tf.Tensor) => {
        const values = Float32Array.from(await logits.data());
        logits.dispose();
        return values;
      };
      const plain = await valuesOf(base.forward(ids));
      const expected = await valuesOf(adapter.forward(ids));
      const folder = `${await newFolder()}/adapter`;
      await adapter.save(folder);
      const loaded = await AutoModelForCausalLM.fromPretrained(dir, { ...options, lora: folder });
      const found = await valuesOf(loaded.forward(ids));
      const worst = (other: Float32Array) =>
        expected.reduce((most, v, i) => Math.max(most, Math.abs(v - (other[i] ?? Number.NaN))), 0);
      expect(worst(found)).to.be.below(1e-4);
      expect(worst(plain)).to.be.above(1e-2);
      adapter.dispose();
      base.dispose();
      loaded.dispose();
    });
  }
});
