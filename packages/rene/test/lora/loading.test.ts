// Models loaded with an adapter: in every weight format, from every kind of file, and saved again.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InvalidArgumentError, useBackend } from '@rene-js/layers';
import { errorOf, golden, temporaryFolders } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { openFile, writeFileAtomically } from '../../src/checkpoint/node_files.js';
import {
  openSafetensors,
  type TensorToWrite,
  writeSafetensors,
} from '../../src/checkpoint/safetensors.js';
import { ReneError, ReneLMHeadModel } from '../../src/index.js';
import { evaluate } from '../../src/training/evaluate.js';
import { LoraAdapter } from '../../src/training/lora.js';
import { train } from '../../src/training/trainer.js';
import { smallModel, smallText } from '../training/small_model.js';

const DATA = fileURLToPath(new URL('../../../test/lora/data/', import.meta.url));
const IDS = [[3, 1, 4, 1, 5, 9, 2, 6]];

async function logitsOf(model: { forward(ids: number[][]): tf.Tensor }): Promise<number[]> {
  const tensor = model.forward(IDS);
  const values = Array.from(await tensor.data());
  tensor.dispose();
  return values;
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? Number.NaN))));
}

/** Sets every variable of an adapter, so that all of it has an effect. */
function disturb(adapter: LoraAdapter): void {
  for (const variable of adapter.trainableVariables.values()) {
    tf.tidy(() =>
      variable.assign(tf.add(variable, tf.randomUniform(variable.shape, -0.3, 0.3, 'float32', 7))),
    );
  }
}

describe('a model with an adapter', () => {
  const folder = temporaryFolders();
  let adapterDir = '';
  let wanted: number[] = [];
  const base = golden('tiny-hybrid');

  before(async () => {
    adapterDir = folder();
    const model = await ReneLMHeadModel.fromPretrained(base, { backend: 'cpu', trainable: true });
    const adapter = LoraAdapter.create(model, { rank: 3, useRslora: true });
    disturb(adapter);
    wanted = await logitsOf(adapter);
    await adapter.save(adapterDir);
    adapter.dispose();
    model.dispose();
  });
  after(() => useBackend('cpu'));

  it('computes the same in the formats of the backend simd', async () => {
    const size = Math.max(...wanted.map(Math.abs));
    for (const [dtype, tolerance] of [
      ['f32', 1e-5],
      ['bf16', 0.02],
      ['int8', 0.1],
    ] as const) {
      const model = await ReneLMHeadModel.fromPretrained(base, {
        backend: 'simd',
        lora: adapterDir,
        dtype,
      });
      expect(distance(await logitsOf(model), wanted) / size, dtype).to.be.below(tolerance);
      model.dispose();
    }
  });

  it('keeps quantised values of unadapted matrices, and rounds its own to 16 bits', async () => {
    const quantized = folder();
    const whole = await ReneLMHeadModel.fromPretrained(base, {
      backend: 'simd',
      dtype: 'int8',
      groupSize: 32,
      wholeGroups: true,
    });
    await whole.save(quantized, { quantized: true });
    whole.dispose();
    const some = folder();
    await useBackend('cpu');
    const model = await ReneLMHeadModel.fromPretrained(base, { trainable: true });
    const adapter = LoraAdapter.create(model, { rank: 2, targets: ['layers.0.mixer.in_proj'] });
    await adapter.save(some);
    adapter.dispose();
    model.dispose();
    const loaded = await ReneLMHeadModel.fromPretrained(quantized, { backend: 'simd', lora: some });
    const formats = [...loaded.parameters].flatMap(([name, parameter]) =>
      'format' in parameter
        ? [`${parameter.format} ${name.includes('layers.0.mixer.in_proj')}`]
        : [],
    );
    expect(new Set(formats)).to.deep.equal(new Set(['int8 false', 'bf16 true']));
    loaded.dispose();
  });

  it('reads adapter_model.bin, and names changed by torch.compile and FSDP', async () => {
    const tiny = await ReneLMHeadModel.fromPretrained(`${DATA}base`, { lora: `${DATA}plain` });
    const expected = await logitsOf(tiny);
    tiny.dispose();
    const dir = folder();
    const source = await openSafetensors(await openFile(`${DATA}plain/adapter_model.safetensors`));
    const tensors = [...source.tensors].map(([name, { dtype, shape }]): TensorToWrite => {
      const bytes = shape.reduce((size, axis) => size * axis, dtype === 'F16' ? 2 : 4);
      const wrapped = name.replace('backbone.', '_orig_mod.backbone._fsdp_wrapped_module.');
      return { name: wrapped, dtype, shape, bytes: () => source.read(name, 0, bytes) };
    });
    await writeFileAtomically(join(dir, 'adapter_model.safetensors'), (put) =>
      writeSafetensors(tensors, {}, put),
    );
    await source.close();
    cpSync(`${DATA}plain/adapter_config.json`, join(dir, 'adapter_config.json'));
    const wrapped = await ReneLMHeadModel.fromPretrained(`${DATA}base`, { lora: `${dir}/` });
    expect(await logitsOf(wrapped)).to.deep.equal(expected);
    wrapped.dispose();
    const old = folder();
    for (const name of ['adapter_config.json', 'adapter_model.bin']) {
      cpSync(`${DATA}old_format/${name}`, join(old, name));
    }
    const bin = await ReneLMHeadModel.fromPretrained(`${DATA}base`, { lora: old });
    expect(await logitsOf(bin)).to.deep.equal(expected);
    bin.dispose();
  });

  it('leaves no file open', async function () {
    if (!existsSync('/proc/self/fd')) this.skip();
    await useBackend('cpu');
    const before = readdirSync('/proc/self/fd').length;
    for (const name of ['plain', 'saved_modules']) {
      const model = await ReneLMHeadModel.fromPretrained(`${DATA}base`, { lora: `${DATA}${name}` });
      model.dispose();
    }
    expect(readdirSync('/proc/self/fd').length).to.equal(before);
  });

  it('is saved as a whole model', async () => {
    for (const lora of [`${DATA}dora_embedding`, `${DATA}saved_modules`]) {
      const model = await ReneLMHeadModel.fromPretrained(`${DATA}base`, { backend: 'cpu', lora });
      expect(model.config.tieWordEmbeddings).to.equal(false);
      const expected = await logitsOf(model);
      const dir = join(folder(), 'merged');
      await model.save(dir);
      model.dispose();
      const merged = await ReneLMHeadModel.fromPretrained(dir);
      expect(await logitsOf(merged)).to.deep.equal(expected);
      merged.dispose();
    }
  });

  it('refuses to merge an adapter that changes a tied embedding and head separately', async () => {
    const model = await ReneLMHeadModel.fromPretrained(`${DATA}base`, { trainable: true });
    const adapter = await LoraAdapter.load(model, `${DATA}dora_embedding`);
    const error = await errorOf(ReneError, () => adapter.merge());
    expect(error.message).to.match(/fromPretrained\(dir, \{ lora \}\)/);
    adapter.dispose();
    model.dispose();
  });

  it('merges replaced parameters too', async () => {
    const model = await ReneLMHeadModel.fromPretrained(`${DATA}base`, { trainable: true });
    const adapter = await LoraAdapter.load(model, `${DATA}all_biases`);
    const expected = await logitsOf(adapter);
    adapter.merge();
    expect(distance(await logitsOf(model), expected)).to.be.below(1e-5);
    model.dispose();
  });

  it('is saved with all of its options', async () => {
    const model = await ReneLMHeadModel.fromPretrained(`${DATA}base`, { trainable: true });
    for (const name of ['rslora_patterns', 'dora_embedding', 'saved_modules', 'some_layers']) {
      const adapter = await LoraAdapter.load(model, `${DATA}${name}`);
      const expected = await logitsOf(adapter);
      const dir = join(folder(), name);
      await adapter.save(dir);
      adapter.dispose();
      const again = await LoraAdapter.load(model, dir);
      expect(await logitsOf(again), name).to.deep.equal(expected);
      again.dispose();
      const json = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
      expect(json(`${dir}/adapter_config.json`)).to.deep.equal(
        json(`${DATA}${name}/adapter_config.json`),
      );
    }
    model.dispose();
  });

  it('trains with DoRA and a regular expression of targets, and starts as the base model', async () => {
    const model = await smallModel();
    const plain = await logitsOf(model);
    const adapter = LoraAdapter.create(model, {
      rank: 4,
      useDora: true,
      useRslora: true,
      targets: String.raw`.*\.(in|out)_proj`,
    });
    expect(distance(await logitsOf(adapter), plain)).to.be.below(1e-5);
    const text = smallText(40);
    const small = { batchSize: 4, rowLength: 8 };
    const before = await evaluate(adapter, text, small);
    const outDir = folder();
    mkdirSync(outDir, { recursive: true });
    await train(adapter, text, text, { ...small, outDir, steps: 30, learningRate: 3e-2 });
    expect((await evaluate(adapter, text, small)).loss).to.be.below(before.loss - 0.1);
    adapter.dispose();
    model.dispose();
  });

  it('refuses an option of a wrong type, and suggests the name of a similar option', async () => {
    const load = (options: object) =>
      errorOf(InvalidArgumentError, () => ReneLMHeadModel.fromPretrained(base, options));
    expect((await load({ peft: adapterDir })).message).to.match(/expected lora, found peft/);
    writeFileSync(join(folder(), 'x'), '');
    expect((await load({ lora: 3 })).message).to.match(/lora: expected .*folder.* found 3/);
  });
});
