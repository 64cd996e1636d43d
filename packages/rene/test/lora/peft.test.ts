// Adapters written by PEFT, compared with the parameters that PEFT computes with them.
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { useBackend } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { openFile } from '../../src/checkpoint/node_files.js';
import { openCheckpoint } from '../../src/checkpoint/open_checkpoint.js';
import { readConfig } from '../../src/checkpoint/read_config.js';
import { openSafetensors } from '../../src/checkpoint/safetensors.js';
import { readF32, type TensorFile } from '../../src/checkpoint/tensor_file.js';
import { ReneLMHeadModel } from '../../src/index.js';
import { withAdapter } from '../../src/lora/load_adapter.js';
import { LoraAdapter } from '../../src/training/lora.js';

/** Written by make_adapters.py. */
const DATA = fileURLToPath(new URL('../../../test/lora/data/', import.meta.url));
/** Further ones, such as random ones of make_adapters.py. */
const MORE = process.env.RENE_TEST_ADAPTERS;

const folders = [DATA, ...(MORE === undefined ? [] : [`${MORE}/`])];
const cases = folders.flatMap((dir) =>
  readdirSync(dir)
    .filter((name) => existsSync(`${dir}${name}/expected.safetensors`))
    .map((name) => `${dir}${name}`),
);
const IDS = [[3, 1, 4, 1, 5, 9, 2, 6]];

async function expectedOf(dir: string): Promise<TensorFile> {
  return openSafetensors(await openFile(`${dir}/expected.safetensors`));
}

async function logitsOf(model: { forward(ids: number[][]): tf.Tensor }): Promise<Float32Array> {
  const tensor = model.forward(IDS);
  const values = await tensor.data<'float32'>();
  tensor.dispose();
  return values.slice();
}

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).to.equal(b.length);
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] ?? Number.NaN))));
}

describe("PEFT's adapters", () => {
  before(async () => {
    await useBackend('cpu');
  });

  for (const dir of cases) {
    const name = dir.split('/').at(-1);

    it(`${name}: every parameter equals PEFT's`, async () => {
      const base = {
        config: await readConfig(`${DATA}base`),
        checkpoint: await openCheckpoint(`${DATA}base`),
      };
      const { config, checkpoint } = await withAdapter(base, dir, {});
      const expected = await expectedOf(dir);
      for (const name of expected.tensors.keys()) {
        if (name === 'lm_head.weight' && config.tieWordEmbeddings) continue;
        const wanted = await readF32(expected, name);
        expect(distance(await checkpoint.readF32(name), wanted), name).to.be.below(5e-6);
      }
      expect(checkpoint.names).to.include.members(
        [...expected.tensors.keys()].filter(
          (name) => name !== 'lm_head.weight' || !config.tieWordEmbeddings,
        ),
      );
      await checkpoint.close();
      await expected.close();
    });

    it(`${name}: the same logits when loaded and as an adapter in training`, async () => {
      const before = tf.memory().numTensors;
      const loaded = await ReneLMHeadModel.fromPretrained(`${DATA}base`, {
        backend: 'cpu',
        lora: dir,
      });
      const wanted = await logitsOf(loaded);
      loaded.dispose();
      const model = await ReneLMHeadModel.fromPretrained(`${DATA}base`, { trainable: true });
      const plain = await logitsOf(model);
      expect(distance(plain, wanted)).to.be.above(1e-3);
      if (!name?.includes('random') && name !== 'lora_bias') {
        const adapter = await LoraAdapter.load(model, dir);
        expect(distance(await logitsOf(adapter), wanted)).to.be.below(2e-4);
        expect(distance(await logitsOf(model), plain)).to.equal(0);
        adapter.dispose();
      }
      model.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });
  }
});
