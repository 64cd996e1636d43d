// A whole model in each weight format on 'simd': compared with the same values composed in f32, in batches,
// on any number of threads, and the loss in quality of the smaller formats.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import {
  BackendError,
  type Parameter,
  rowsWeight,
  useBackend,
  type WeightFormat,
  weightPacker,
} from '@rene-js/layers';
import type { SimdOptions } from '@rene-js/layers/simd';
import { errorOf, golden } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { reneConfig1_3B } from '../../src/config.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import { Tokenizer } from '../../src/tokenizer.js';
import { evaluate } from '../../src/training/evaluate.js';
import { tokenize } from '../../src/training/text_files.js';
import type { Logits } from './on_threads.js';

const formats = ['f32', 'bf16', 'int8', 'int4'] as const;
const text = [
  'A glacier is a slowly moving mass of ice.',
  'A lighthouse is a tower with a light that gives warning of shoals to passing ships.',
  'She was a woman who owned and managed a large farm near the river.',
  'to fasten or secure with a rope, a chain or a bolt',
  'The judge was not able to give an opinion of the case.',
  'a small bird of the tropics with a long bill and bright feathers',
  'having or showing the ability to speak with ease',
  'A theorem is a statement that can be shown to follow from other statements.',
];

describe('a model in each weight format [simd]', () => {
  for (const format of formats) {
    it(`${format} equals its values composed in f32`, async () => {
      await useBackend('simd');
      const path = golden('tiny-hybrid');
      const model = await ReneLMHeadModel.fromPretrained(path, { backend: 'simd', dtype: format });
      const ids = rows(3, 40, model.config.vocabSize);
      const prompt = ids.map((row) => row.slice(0, 37));
      const found = await continued(model, prompt, ids);
      const numbers = new Map<string, Float32Array>();
      for (const [name, parameter] of model.parameters) {
        numbers.set(
          name,
          parameter instanceof tf.Tensor
            ? Float32Array.from(await parameter.data())
            : await weightPacker().unpack(parameter),
        );
      }
      const shapes = new Map([...model.parameters].map(([name, { shape }]) => [name, shape]));
      const isMatrix = (name: string) => !(model.parameters.get(name) instanceof tf.Tensor);
      const { config } = model;
      const matrices = new Set([...model.parameters.keys()].filter(isMatrix));
      model.dispose();

      await useBackend('cpu');
      const plain = new Map(
        [...numbers].map(([name, values]): [string, Parameter] => {
          const tensor = tf.keep(tf.tensor(values, [...(shapes.get(name) ?? [])]));
          return [name, matrices.has(name) ? rowsWeight(tensor) : tensor];
        }),
      );
      const reference = new ReneLMHeadModel(config, plain);
      const expected = await continued(reference, prompt, ids);
      reference.dispose();
      // Activations are rounded to 63 steps each way with int8 weights, 68 with int4 weights, with a scale
      // per group. With 16-bit weights, keys and values are 16-bit too.
      const limit = { f32: 1e-5, bf16: 0.01, int8: 0.1, int4: 0.1 }[format];
      expect(deviation(found, expected)).to.be.below(limit);
    });

    it(`${format} gives a row bitwise identical results in any batch`, async () => {
      const options = { backend: 'simd', dtype: format };
      const model = await ReneLMHeadModel.fromPretrained(golden('tiny-gqa'), options);
      const ids = rows(9, 21, model.config.vocabSize);
      const together = await continued(
        model,
        ids.map((row) => row.slice(0, 18)),
        ids,
      );
      const perRow = together.length / ids.length;
      for (const count of [1, 2, 5]) {
        const some = ids.slice(0, count);
        const alone = await continued(
          model,
          some.map((row) => row.slice(0, 18)),
          some,
        );
        expect(alone, `${count} rows`).to.deep.equal(together.slice(0, count * perRow));
      }
      model.dispose();
    });
  }

  it('names a smaller format if the weights exceed the address space', async () => {
    const load = () =>
      ReneLMHeadModel.fromConfig(reneConfig1_3B, { backend: 'simd', dtype: 'f32' });
    const error = await errorOf(BackendError, load);
    expect(error.message).to.equal(
      "the weights need 5.2 GB as f32, but the backend 'simd' can hold at most 4.3 GB: " +
        'load them as bf16 (2.6 GB), int8 (1.4 GB), int4 (0.7 GB)',
    );
  });

  it('gives bitwise identical results on 1, 2 and 4 threads, and nearly the same without relaxed SIMD', async () => {
    const runs = await Promise.all(
      [1, 2, 4]
        .map((threads) => logitsInWorker({ threads }))
        .concat(logitsInWorker({ threads: 2, relaxedSimd: false })),
    );
    expect(runs.map(({ info }) => info.threads)).to.deep.equal([1, 2, 4, 2]);
    expect(runs.map(({ info }) => info.relaxedSimd)).to.deep.equal([true, true, true, false]);
    const [one, two = [], four, plain] = runs.map(({ results }) => results);
    expect(one?.length).to.equal(formats.length);
    expect(two).to.deep.equal(one);
    expect(four).to.deep.equal(one);
    for (const [i, format] of formats.entries()) {
      const expected = two[i] ?? new Float32Array();
      const found = plain?.[i] ?? new Float32Array();
      expect(found.length).to.equal(expected.length).and.above(1000);
      // Sums are rounded once more. A quantised activation may round to the next integer.
      const limit = { f32: 1e-4, bf16: 1e-4, int8: 0.02, int4: 0.02 }[format];
      expect(deviation(found, expected), format).to.be.below(limit);
    }
  }).timeout(60_000);

  it('loses little quality: int8 at most 0.5 %, int4 at most 3 %', async () => {
    const validation = fileURLToPath(
      new URL('../../../../../../shared/data/oewn-validation.txt', import.meta.url),
    );
    const lines = existsSync(validation)
      ? readFileSync(validation, 'utf8').split('\n').slice(0, 120)
      : text;
    const documents = tokenize(lines, await Tokenizer.fromPretrained('rene-tiny'));
    const losses = new Map<WeightFormat, number>();
    for (const dtype of formats) {
      const model = await ReneLMHeadModel.fromPretrained('rene-tiny', { backend: 'simd', dtype });
      const { loss } = await evaluate(model, documents, { rowLength: 128, batchSize: 8 });
      losses.set(dtype, loss);
      model.dispose();
    }
    const full = losses.get('f32') ?? Number.NaN;
    expect(full).to.be.within(2, 5);
    const change = (dtype: WeightFormat) => Math.abs((losses.get(dtype) ?? 0) / full - 1);
    expect(change('bf16')).to.be.below(0.001);
    expect(change('int8')).to.be.below(0.005);
    expect(change('int4')).to.be.below(0.03);
  }).timeout(60_000);
});

/** The root mean square error relative to the root mean square of the expected values. */
function deviation(found: Float32Array, expected: Float32Array): number {
  expect(found.length).to.equal(expected.length);
  const square = (sum: number, value: number) => sum + value * value;
  const differences = expected.map((value, i) => value - (found[i] ?? Number.NaN));
  return Math.sqrt(differences.reduce(square, 0) / expected.reduce(square, 0));
}

/** Logits after a prompt and after each of the tokens that follow it. */
async function continued(
  model: ReneLMHeadModel,
  prompt: readonly (readonly number[])[],
  ids: readonly (readonly number[])[],
): Promise<Float32Array> {
  const state = model.initialState(prompt.length);
  const parts: Float32Array[] = [];
  const step = async (input: readonly (readonly number[])[]) => {
    const logits = model.forward(input, { state, logitsToKeep: 1 });
    parts.push(Float32Array.from(await logits.data()));
    logits.dispose();
  };
  await step(prompt);
  const length = ids[0]?.length ?? 0;
  for (let i = prompt[0]?.length ?? 0; i < length; i++) {
    await step(ids.map((row) => row.slice(i, i + 1)));
  }
  state.dispose();
  // Row by row.
  const width = (parts[0]?.length ?? 0) / prompt.length;
  const byRow = new Float32Array(parts.length * width * prompt.length);
  prompt.forEach((_, row) => {
    parts.forEach((part, i) => {
      byRow.set(part.subarray(row * width, (row + 1) * width), (row * parts.length + i) * width);
    });
  });
  return byRow;
}

function rows(count: number, length: number, vocabSize: number): number[][] {
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length }, (_, i) => (row * 31 + i * 17 + i * i) % vocabSize),
  );
}

function logitsInWorker(options: SimdOptions): Promise<Logits> {
  return new Promise((resolve, reject) => {
    const workerData = { oversubscribe: true, ...options };
    const worker = new Worker(new URL('./on_threads.js', import.meta.url), { workerData });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
