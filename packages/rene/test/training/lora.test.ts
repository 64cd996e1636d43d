import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidArgumentError } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { CheckpointError, ReneLMHeadModel } from '../../src/index.js';
import { evaluate } from '../../src/training/evaluate.js';
import { LoraAdapter } from '../../src/training/lora.js';
import { train } from '../../src/training/trainer.js';
import { smallModel, smallText } from './small_model.js';

const IDS = [[2, 3, 4, 5, 6, 7]];

async function logits(model: { forward(ids: number[][]): tf.Tensor }): Promise<number[]> {
  const tensor = model.forward(IDS);
  const values = Array.from(await tensor.data());
  tensor.dispose();
  return values;
}

/** The largest difference. */
function distance(a: number[], b: number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? Number.NaN))));
}

describe('LoraAdapter', () => {
  let dir = '';
  let model: ReneLMHeadModel;
  let untouched: number[] = [];
  let tensors = 0;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-lora-'));
    model = await smallModel();
    untouched = await logits(model);
    tensors = tf.memory().numTensors;
  });
  afterEach(async () => {
    expect(tf.memory().numTensors, 'tensors left behind').to.equal(tensors);
    model.dispose();
    await rm(dir, { recursive: true });
  });

  it('starts as the model, learns, and does not change the model', async () => {
    const small = { batchSize: 4, rowLength: 8 };
    const base = { ...small, outDir: `${dir}/base`, steps: 30, learningRate: 1e-2 };
    await train(model, smallText(40), smallText(6), base);
    untouched = await logits(model);

    const adapter = LoraAdapter.create(model, { rank: 4 });
    expect(distance(await logits(adapter), untouched)).to.equal(0);
    const names = [...adapter.trainableVariables.keys()];
    expect(names).to.include('backbone.layers.0.mixer.in_proj.lora_A.weight');
    expect(names).to.have.length(2 * 2 * 3);
    const hedges = smallText(40, 0, ['hedge']);
    const before = await evaluate(adapter, hedges, small);
    const tuning = { ...small, outDir: `${dir}/tuned`, steps: 25, learningRate: 4e-2 };
    await train(adapter, hedges, hedges, tuning);
    const after = await evaluate(adapter, hedges, small);
    expect(after.loss).to.be.below(before.loss * 0.85);
    expect(distance(await logits(model), untouched)).to.equal(0);
    adapter.dispose();
  });

  it('gives the same logits when saved and loaded, and when merged and saved', async () => {
    const adapter = LoraAdapter.create(model, { rank: 2, alpha: 3, targets: ['in_proj'] });
    disturb(adapter);
    const adapted = await logits(adapter);
    expect(distance(adapted, untouched)).to.be.above(0.1);
    await adapter.save(`${dir}/adapter`);
    adapter.dispose();
    const config: unknown = JSON.parse(
      await readFile(`${dir}/adapter/adapter_config.json`, 'utf8'),
    );
    expect(config).to.include({ peft_type: 'LORA', r: 2, lora_alpha: 3 });

    const loaded = await LoraAdapter.load(model, `${dir}/adapter`);
    expect(distance(await logits(loaded), adapted)).to.equal(0);
    loaded.merge();
    expect(distance(await logits(model), adapted)).to.be.below(1e-6);
    await model.save(`${dir}/merged`);
    const merged = await ReneLMHeadModel.fromPretrained(`${dir}/merged`, { backend: 'cpu' });
    expect(distance(await logits(merged), adapted)).to.be.below(1e-6);
    merged.dispose();
  });

  it('refuses a model that is not trainable, unknown targets, and an adapter of other sizes', async () => {
    const fixed = await ReneLMHeadModel.fromConfig(model.config, { backend: 'cpu' });
    expect(() => LoraAdapter.create(fixed)).to.throw(InvalidArgumentError, /trainable/);
    fixed.dispose();
    expect(() => LoraAdapter.create(model, { targets: ['query'] })).to.throw(
      InvalidArgumentError,
      /targets/,
    );
    expect(() => LoraAdapter.create(model, { rank: 0 })).to.throw(InvalidArgumentError, /rank/);
    const adapter = LoraAdapter.create(model, { rank: 2 });
    await adapter.save(dir);
    adapter.dispose();
    await writeFile(
      `${dir}/adapter_config.json`,
      JSON.stringify({ r: 3, lora_alpha: 3, target_modules: ['in_proj', 'out_proj'] }),
    );
    const error = await LoraAdapter.load(model, dir).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(CheckpointError);
    expect(String(error)).to.match(/expected shape \[3, \d+\], found \[2, \d+\]/);
  });
});

/** Sets B to nonzero values, since it starts at zero. */
function disturb(adapter: LoraAdapter): void {
  for (const [name, variable] of adapter.trainableVariables) {
    if (!name.includes('lora_B')) continue;
    tf.tidy(() => variable.assign(tf.randomUniform(variable.shape, -0.5, 0.5, 'float32', 7)));
  }
}
