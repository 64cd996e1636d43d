// Saving: dtypes under every name, quantised matrices, the tokenizer, and target folders.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { InvalidArgumentError, useBackend } from '@rene-js/layers';
import {
  errorOf,
  golden,
  temporaryFolders,
  tinyByteLevelJson,
  tinyMetaspaceJson,
} from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { openCheckpoint } from '../../src/checkpoint/open_checkpoint.js';
import { CheckpointError, ReneLMHeadModel, Tokenizer } from '../../src/index.js';
import { LoraAdapter } from '../../src/training/lora.js';

const MODEL = golden('tiny-hybrid');
const IDS = [[3, 14, 15, 9, 26, 5]];

/** The value with a wrong type, which type-checked programs cannot pass. */
function untyped(value: unknown): never {
  return value as never;
}

describe('save', () => {
  const folder = temporaryFolders();
  let model: ReneLMHeadModel;
  before(async () => {
    model = await ReneLMHeadModel.fromPretrained(MODEL, { backend: 'simd' });
  });
  after(async () => {
    await useBackend('simd');
    model.dispose();
    await useBackend('cpu');
  });

  async function dtypeOf(dir: string): Promise<string> {
    const checkpoint = await openCheckpoint(dir);
    const { dtype } = checkpoint.info('backbone.layers.0.mixer.in_proj.weight');
    await checkpoint.close();
    return dtype;
  }

  it('accepts the same dtype names as loading', async () => {
    const names = {
      F32: ['f32', 'fp32', 'float32', 'F32', 'auto', undefined],
      BF16: ['bf16', 'bfloat16', 'BF16'],
      F16: ['f16', 'fp16', 'float16', 'half', 'F16'],
      int8: ['int8', 'q8'],
      int4: ['int4', 'q4'],
    } as const;
    const tensors = tf.memory().numTensors;
    for (const [dtype, all] of Object.entries(names)) {
      for (const name of all) {
        const dir = join(folder(), 'saved');
        await model.save(dir, { dtype: name });
        expect(await dtypeOf(dir), name).to.equal(dtype);
      }
    }
    expect(tf.memory().numTensors).to.equal(tensors);
  });

  it('quantises like loading', async () => {
    for (const dtype of ['int8', 'int4'] as const) {
      const loaded = await ReneLMHeadModel.fromPretrained(MODEL, { dtype, wholeGroups: true });
      const expected = [...(await loaded.forward(IDS).data())];
      const dir = join(folder(), dtype);
      await model.save(dir, { dtype });
      const json: unknown = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'));
      const bits = dtype === 'int8' ? 8 : 4;
      expect(json).to.deep.include({ quantization: { group_size: 64, bits } });
      const saved = await ReneLMHeadModel.fromPretrained(dir);
      expect([...(await saved.forward(IDS).data())]).to.deep.equal(expected);
      // Matrices that are quantised already are written unchanged.
      const again = join(folder(), 'again');
      await saved.save(again, { dtype });
      expect(readFileSync(join(again, 'model.safetensors'))).to.deep.equal(
        readFileSync(join(dir, 'model.safetensors')),
      );
      saved.dispose();
      loaded.dispose();
    }
  });

  it('names the backends that can quantise', async () => {
    const plain = await ReneLMHeadModel.fromPretrained(MODEL, { backend: 'cpu' });
    const dir = join(folder(), 'x');
    const error = await errorOf(CheckpointError, () => plain.save(dir, { dtype: 'int8' }));
    expect(error.message).to.match(/'cpu' cannot quantise to int8: load the model on 'simd'/);
    expect(existsSync(dir)).to.equal(false);
    plain.dispose();
    await useBackend('simd');
  });

  it('refuses other dtypes and options, and writes nothing', async () => {
    const dir = join(folder(), 'x');
    const cases: [options: object, message: RegExp][] = [
      [{ dtype: 'q6' }, /dtype: expected one of f32, bf16/],
      [{ dtype: 'I64' }, /found 'I64'/],
      [{ dtype: 16 }, /dtype/],
      [{ dtyp: 'bf16' }, /options: expected one of dtype, .*found dtyp/],
      [{ safe_serialization: true }, /found safe_serialization/],
    ];
    for (const [options, message] of cases) {
      const error = await errorOf(InvalidArgumentError, () => model.save(dir, options));
      expect(error.message).to.match(message);
    }
    expect(existsSync(dir)).to.equal(false);
  });

  it('accepts file URLs, like loading, and refuses other schemes', async () => {
    const base = folder();
    const cwd = readdirSync('.');
    for (const name of ['plain', 'with blank', 'häß #1%20', 'a?b']) {
      const url = pathToFileURL(join(base, name));
      await model.save(url);
      expect(readdirSync(join(base, name))).to.include('model.safetensors');
      for (const from of [url, url.href]) {
        const again = await ReneLMHeadModel.fromPretrained(from);
        again.dispose();
      }
    }
    for (const url of [
      'http://host/x',
      'https://host/x',
      's3://bucket/x',
      'hf://a/b',
      'gs://b/c',
      'data:,x',
      'blob:https://host/x',
    ]) {
      const save = await errorOf(CheckpointError, () => model.save(url));
      expect(save.message).to.contain('expected a local folder or its file URL');
      await errorOf(CheckpointError, () => model.save(new URL(url)));
      if (url.startsWith('http')) continue;
      await errorOf(CheckpointError, () => ReneLMHeadModel.fromPretrained(url));
    }
    // A URL has one slash or three; an empty name would be the working directory.
    const oneSlash = pathToFileURL(join(base, 'plain')).href.replace('///', '/');
    (await ReneLMHeadModel.fromPretrained(oneSlash)).dispose();
    await errorOf(CheckpointError, () => model.save(''));
    for (const none of [5, null, undefined, {}]) {
      const error = await errorOf(InvalidArgumentError, () => model.save(untyped(none)));
      expect(error.message).to.match(/^name: expected a local folder or its file URL, found /);
    }
    expect(readdirSync('.')).to.deep.equal(cwd);
  });

  it('writes an adapter to a file URL and reads it again', async () => {
    const url = pathToFileURL(join(folder(), 'an adapter'));
    const trainable = await ReneLMHeadModel.fromPretrained(MODEL, {
      backend: 'cpu',
      trainable: true,
    });
    const adapter = LoraAdapter.create(trainable, { rank: 2 });
    await adapter.save(url);
    adapter.dispose();
    for (const from of [url, url.href]) {
      const again = await LoraAdapter.load(trainable, from);
      again.dispose();
      const merged = await ReneLMHeadModel.fromPretrained(MODEL, { lora: from });
      merged.dispose();
    }
    const other = await errorOf(CheckpointError, () => LoraAdapter.load(trainable, 's3://a/b'));
    expect(other.message).to.contain("expected a LoRA adapter's folder");
    trainable.dispose();
    await useBackend('simd');
  });

  it('writes the given tokenizer', async () => {
    const dir = join(folder(), 'whole');
    const tokenizer = await Tokenizer.fromPretrained('rene-tiny');
    await model.save(dir, { tokenizer });
    expect(readdirSync(dir)).to.deep.equal(['config.json', 'model.safetensors', 'tokenizer.json']);
    const again = await Tokenizer.fromPretrained(dir);
    const text = 'A lighthouse is<|endoftext|> 👍';
    expect(again.encode(text)).to.deep.equal(tokenizer.encode(text));
    expect(again.eosTokenId).to.equal(tokenizer.eosTokenId);
  });
});

describe('Tokenizer.save', () => {
  const folder = temporaryFolders();

  it('writes files that give the same tokenizer', async () => {
    const configs: unknown[] = [
      {},
      { eos_token: '<|endoftext|>' },
      { pad_token: { content: 'a' } },
    ];
    for (const json of [tinyByteLevelJson(), tinyMetaspaceJson()]) {
      for (const config of configs) {
        const tokenizer = Tokenizer.fromJson(json, config);
        const dir = pathToFileURL(join(folder(), 'tokenizer'));
        await tokenizer.save(dir);
        const again = await Tokenizer.fromPretrained(dir);
        expect(again.eosTokenId).to.equal(tokenizer.eosTokenId);
        expect(again.padTokenId).to.equal(tokenizer.padTokenId);
        expect(again.vocabSize).to.equal(tokenizer.vocabSize);
        fc.assert(
          fc.property(fc.string({ unit: 'binary' }), (text) => {
            const ids = tokenizer.encode(text);
            expect(again.encode(text)).to.deep.equal(ids);
            expect(again.decode(ids)).to.equal(tokenizer.decode(ids));
          }),
          { numRuns: 20 },
        );
        const saved: unknown = JSON.parse(readFileSync(new URL(`${dir}/tokenizer.json`), 'utf8'));
        expect(saved).to.deep.equal(json);
      }
    }
  });
});
