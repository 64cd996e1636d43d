// Model folders: whole and sharded, loaded into parameters, saved again, without leaks.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  disposeParameters,
  initializers,
  initParameters,
  type Parameter,
  type ParameterSpec,
  rowsWeight,
  useBackend,
} from '@rene-js/layers';
import { narrow, registerWeightPacker } from '@rene-js/layers/internal';
import { errorOf, golden, temporaryFolders } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import * as fc from 'fast-check';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.js';
import { loadParameters } from '../../src/checkpoint/load_parameters.js';
import { openFile, writeFileAtomically } from '../../src/checkpoint/node_files.js';
import { openCheckpoint } from '../../src/checkpoint/open_checkpoint.js';
import { readConfig } from '../../src/checkpoint/read_config.js';
import { openSafetensors, writeSafetensors } from '../../src/checkpoint/safetensors.js';
import { saveCheckpoint } from '../../src/checkpoint/save_checkpoint.js';
import { configToJson } from '../../src/config_json.js';
import { CheckpointError } from '../../src/errors.js';

/** A spec for every tensor of a checkpoint, as in the blueprint of a matching model. */
function specsOf(checkpoint: Checkpoint, leaveOut: readonly string[] = []): ParameterSpec[] {
  return checkpoint.names
    .filter((name) => !leaveOut.includes(name))
    .map((name) => {
      const { shape } = checkpoint.info(name);
      return {
        name,
        shape,
        kind: shape.length === 2 ? 'matrix' : 'vector',
        init: initializers.ones,
      };
    });
}

async function valuesOf(parameter: Parameter | undefined): Promise<number[]> {
  const tensor = parameter instanceof tf.Tensor ? parameter : parameter?.tensor;
  return [...((await tensor?.data()) ?? [])];
}

const embedding = 'backbone.embedding.weight';

describe('checkpoint', () => {
  const folder = temporaryFolders();
  before(async () => {
    await useBackend('cpu');
  });

  it('opens a folder and reads vectors and rows', async () => {
    const checkpoint = await openCheckpoint(golden('tiny-bf16'));
    const embedding = checkpoint.storedMatrix('backbone.embedding.weight');
    expect(embedding).to.deep.include({ shape: [96, 64], dtype: 'BF16' });
    expect((await embedding.readRows(95, 1)).length).to.equal(128);
    expect((await checkpoint.readF32('backbone.layers.0.mixer.D')).length).to.equal(8);
    expect(checkpoint.info('backbone.norm_f.weight')).to.deep.include({ shape: [64] });
    const error = await errorOf(CheckpointError, () =>
      checkpoint.storedMatrix('backbone.norm_f.weight'),
    );
    expect(error.message).to.match(/shape \[64\], expected a matrix/);
    await errorOf(CheckpointError, () => checkpoint.info('nothing'));
    await checkpoint.close();
  });

  it('reports a folder without weights', async () => {
    const empty = await errorOf(CheckpointError, () => openCheckpoint(folder()));
    expect(empty.message).to.match(/model\.safetensors.*found a folder without them/);
    const none = await errorOf(CheckpointError, () => openCheckpoint('/nowhere'));
    expect(none.message).to.match(/no such folder/);
  });

  it('reads shards as one checkpoint', async () => {
    const whole = await openCheckpoint(golden('tiny-gqa'));
    const dir = folder();
    await writeShards(whole, dir, 3);
    const sharded = await openCheckpoint(dir);
    expect([...sharded.names].sort()).to.deep.equal([...whole.names].sort());
    for (const name of whole.names) {
      expect(await sharded.readF32(name)).to.deep.equal(await whole.readF32(name));
    }
    await sharded.close();
    await whole.close();
  });

  it('refuses an inconsistent index', async () => {
    const whole = await openCheckpoint(golden('tiny-options'));
    const dir = folder();
    await writeShards(whole, dir, 2);
    await whole.close();
    const write = (json: unknown) =>
      writeFileSync(join(dir, 'model.safetensors.index.json'), JSON.stringify(json));
    const cases: [json: unknown, message: RegExp][] = [
      [{}, /weight_map/],
      [
        { weight_map: { a: 'shard-0.safetensors' } },
        /lists 'a' in shard-0\.safetensors, which does not contain/,
      ],
      [{ weight_map: { a: 'gone.safetensors' } }, /gone\.safetensors: no such file/],
      [
        { weight_map: { a: '../x.safetensors' } },
        /'a': expected the name of a file in the same folder, found "\.\.\/x/,
      ],
      [
        { weight_map: { a: '/etc/x.safetensors' } },
        /'a': expected the name of a file in the same folder, found "\/etc/,
      ],
      [{ weight_map: { a: 3 } }, /'a': expected the name of a file in the same folder, found 3/],
    ];
    for (const [json, message] of cases) {
      write(json);
      const error = await errorOf(CheckpointError, () => openCheckpoint(dir));
      expect(error.message).to.match(message);
    }
  });

  describe('loadParameters', () => {
    it('loads matrices and vectors exactly, reporting progress', async () => {
      const checkpoint = await openCheckpoint(golden('tiny-bf16'));
      const before = tf.memory().numTensors;
      const specs = specsOf(checkpoint);
      const seen: number[] = [];
      const parameters = await loadParameters(
        checkpoint,
        { tensors: specs, embedding },
        {
          onProgress: ({ loaded, total, loadedValues, totalValues }) => {
            expect(total).to.equal(specs.length);
            seen.push(loadedValues / totalValues);
            expect(loaded).to.equal(seen.length);
          },
        },
      );
      expect(seen.at(-1)).to.equal(1);
      for (const { name } of specs) {
        const expected = [...(await checkpoint.readF32(name))];
        expect(await valuesOf(parameters.get(name)), name).to.deep.equal(expected);
      }
      expect(tf.memory().numTensors).to.equal(before + specs.length);
      disposeParameters(parameters);
      expect(tf.memory().numTensors).to.equal(before);
      await checkpoint.close();
    });

    it('creates variables for training', async () => {
      const checkpoint = await openCheckpoint(golden('tiny-options'));
      const before = tf.memory().numTensors;
      const load = () =>
        loadParameters(
          checkpoint,
          { tensors: specsOf(checkpoint), embedding },
          { trainable: true },
        );
      const [first, second] = [await load(), await load()];
      for (const parameter of first.values()) {
        const tensor = parameter instanceof tf.Tensor ? parameter : parameter.tensor;
        expect(tensor).to.be.instanceOf(tf.Variable);
      }
      disposeParameters(first);
      disposeParameters(second);
      expect(tf.memory().numTensors).to.equal(before);
      await checkpoint.close();
    });

    it('lists all missing, unknown and wrongly shaped tensors', async () => {
      const checkpoint = await openCheckpoint(golden('tiny-gqa'));
      const before = tf.memory().numTensors;
      const specs = specsOf(checkpoint, ['backbone.layers.3.norm.weight']).map((spec) =>
        spec.name === 'backbone.norm_f.weight' ? { ...spec, shape: [49] } : spec,
      );
      const extra: ParameterSpec = { ...specsOf(checkpoint)[0], ...added };
      const error = await errorOf(CheckpointError, () =>
        loadParameters(checkpoint, { tensors: [...specs, extra], embedding }),
      );
      expect([...error.problems].sort()).to.deep.equal([
        'backbone.extra.weight: expected shape [3, 5], found no such tensor',
        'backbone.layers.3.norm.weight: unknown to a model of this configuration',
        'backbone.norm_f.weight: expected shape [49], found [48]',
      ]);
      for (const problem of error.problems) expect(error.message).to.contain(problem);
      expect(tf.memory().numTensors).to.equal(before);
      await checkpoint.close();
    });

    it('accepts a tied head that the file repeats, if its shape is right', async () => {
      const checkpoint = await openCheckpoint(golden('tiny-mamba2'));
      const specs = specsOf(checkpoint, ['lm_head.weight']);
      const parameters = await loadParameters(checkpoint, { tensors: specs, embedding });
      expect(parameters.has('lm_head.weight')).to.equal(false);
      disposeParameters(parameters);
      const wrong = {
        ...checkpoint,
        info: (name: string) => {
          const info = checkpoint.info(name);
          return name === 'lm_head.weight' ? { ...info, shape: [95, 64] } : info;
        },
      };
      const error = await errorOf(CheckpointError, () =>
        loadParameters(wrong, { tensors: specs, embedding }),
      );
      expect(error.problems).to.deep.equal([
        'lm_head.weight: expected shape [96, 64], found [95, 64]',
      ]);
      await checkpoint.close();
    });

    it('frees what it loaded if a later tensor cannot be read', async () => {
      const checkpoint = await openCheckpoint(golden('tiny-gqa'));
      const before = tf.memory().numTensors;
      let reads = 0;
      const failing: Checkpoint = {
        ...checkpoint,
        readF32: (name) => {
          if (++reads > 5) throw new CheckpointError('the disk is gone');
          return checkpoint.readF32(name);
        },
      };
      await errorOf(CheckpointError, () =>
        loadParameters(failing, { tensors: specsOf(checkpoint), embedding }),
      );
      expect(reads).to.equal(6);
      expect(tf.memory().numTensors).to.equal(before);
      await checkpoint.close();
    });

    it("packs matrices with the backend's packer", async () => {
      const checkpoint = await openCheckpoint(golden('tiny-options'));
      const packed: [format: string, groupSize: number][] = [];
      tf.registerBackend('packing-test', () => tf.findBackend('cpu'));
      registerWeightPacker('packing-test', {
        formats: ['int8'],
        async pack(matrix, format, groupSize) {
          packed.push([format, groupSize]);
          return rowsWeight(tf.zeros([...matrix.shape]));
        },
        unpack: () => Promise.reject(new Error('not asked for')),
      });
      await tf.setBackend('packing-test');
      const specs = specsOf(checkpoint);
      const parameters = await loadParameters(
        checkpoint,
        { tensors: specs, embedding },
        { format: 'int8', groupSize: 32 },
      );
      await tf.setBackend('cpu');
      expect(packed.length).to.equal(specs.filter(({ kind }) => kind === 'matrix').length);
      expect(packed[0]).to.deep.equal(['int8', 32]);
      disposeParameters(parameters);
      tf.removeBackend('packing-test');
      await checkpoint.close();
    });
  });

  describe('initParameters', () => {
    const specs: ParameterSpec[] = [
      { name: 'a', shape: [40, 50], kind: 'matrix', init: initializers.normal(0.02) },
      { name: 'b', shape: [50], kind: 'vector', init: initializers.uniform(1) },
    ];

    it('draws the same values for a seed, in any order', async () => {
      const before = tf.memory().numTensors;
      const first = await initParameters(specs, 7);
      const second = await initParameters([...specs].reverse(), 7);
      const other = await initParameters(specs, 8);
      for (const name of ['a', 'b']) {
        const values = await valuesOf(first.get(name));
        expect(await valuesOf(second.get(name))).to.deep.equal(values);
        expect(await valuesOf(other.get(name))).not.to.deep.equal(values);
      }
      const deviation = Math.hypot(...(await valuesOf(first.get('a')))) / Math.sqrt(2000);
      expect(deviation).to.be.closeTo(0.02, 0.001);
      for (const parameters of [first, second, other]) disposeParameters(parameters);
      expect(tf.memory().numTensors).to.equal(before);
    });
  });

  describe('saveCheckpoint', () => {
    it('writes a folder that loads as the same model', async () => {
      for (const name of ['tiny-options', 'tiny-gqa', 'tiny-bf16']) {
        const checkpoint = await openCheckpoint(golden(name));
        const config = await readConfig(golden(name));
        const specs = specsOf(checkpoint);
        const parameters = await loadParameters(checkpoint, { tensors: specs, embedding });
        const dir = join(folder(), 'new');
        await saveCheckpoint(dir, { tensors: specs, embedding }, parameters, configToJson(config));
        disposeParameters(parameters);
        const saved = await openCheckpoint(dir);
        expect(await readConfig(dir)).to.deep.equal(config);
        expect([...saved.names].sort()).to.deep.equal([...checkpoint.names].sort());
        for (const { name } of specs) {
          expect(saved.info(name).shape).to.deep.equal(checkpoint.info(name).shape);
          expect(await saved.readF32(name)).to.deep.equal(await checkpoint.readF32(name));
        }
        expect(readdirSync(dir).sort()).to.deep.equal(['config.json', 'model.safetensors']);
        await saved.close();
        await checkpoint.close();
      }
    });

    it('rounds only matrices, and only on request', async () => {
      const checkpoint = await openCheckpoint(golden('tiny-options'));
      const specs = specsOf(checkpoint);
      const parameters = await loadParameters(checkpoint, { tensors: specs, embedding });
      const dir = folder();
      const config = await readConfig(golden('tiny-options'));
      await saveCheckpoint(dir, { tensors: specs, embedding }, parameters, configToJson(config), {
        dtype: 'BF16',
      });
      disposeParameters(parameters);
      await checkpoint.close();
      const saved = await openCheckpoint(dir);
      for (const { name, kind } of specs) {
        expect(saved.info(name).dtype).to.equal(kind === 'matrix' ? 'BF16' : 'F32');
      }
      await saved.close();
      const file = await openSafetensors(await openFile(join(dir, 'model.safetensors')));
      expect(file.metadata.get('format')).to.equal('pt');
      await file.close();
    });

    it('keeps the older file, and no temporary one, if writing fails', async () => {
      const dir = folder();
      const path = join(dir, 'model.safetensors');
      writeFileSync(path, 'older');
      const failed = writeFileAtomically(path, async (put) => {
        await put(new Uint8Array(1000));
        throw new CheckpointError('out of paper');
      });
      await errorOf(CheckpointError, () => failed);
      expect(readFileSync(path, 'utf8')).to.equal('older');
      expect(readdirSync(dir)).to.deep.equal(['model.safetensors']);
    });
  });

  it('rounds to F16 and BF16 to nearest, ties to even', () => {
    const halves = (dtype: 'F16' | 'BF16', ...values: number[]) => [
      ...new Uint16Array(narrow(Float32Array.from(values), dtype).buffer),
    ];
    expect(halves('BF16', 1, -2, 1.00390625, 1.01171875, Number.POSITIVE_INFINITY)).to.deep.equal([
      0x3f80, 0xc000, 0x3f80, 0x3f82, 0x7f80,
    ]);
    expect(halves('F16', 1, 65504, 65519, 65520, 2 ** -24, 2 ** -25, 2 ** -14)).to.deep.equal([
      0x3c00, 0x7bff, 0x7bff, 0x7c00, 1, 0, 0x400,
    ]);
    for (const dtype of ['F16', 'BF16'] as const) {
      const [nan = 0] = halves(dtype, Number.NaN);
      expect(nan & 0x7fff).to.be.above(dtype === 'F16' ? 0x7c00 : 0x7f80);
    }
    const exact = fc.integer({ min: -2048, max: 2048 });
    fc.assert(
      fc.property(exact, fc.integer({ min: -20, max: 3 }), (mantissa, exponent) => {
        const value = mantissa * 2 ** exponent;
        expect(halfValue(halves('F16', value)[0] ?? 0)).to.equal(value);
      }),
    );
  });
});

const added = {
  name: 'backbone.extra.weight',
  shape: [3, 5],
  kind: 'matrix' as const,
  init: initializers.ones,
};

function halfValue(half: number): number {
  const [sign, exponent, mantissa] = [half >> 15 ? -1 : 1, (half >> 10) & 31, half & 1023];
  return exponent === 0
    ? sign * mantissa * 2 ** -24
    : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

async function writeShards(whole: Checkpoint, dir: string, count: number): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const weightMap: Record<string, string> = {};
  for (let i = 0; i < count; i++) {
    const names = whole.names.filter((_, j) => j % count === i);
    const shard = `shard-${i}.safetensors`;
    for (const name of names) weightMap[name] = shard;
    const tensors = names.map((name) => ({
      name,
      shape: whole.info(name).shape,
      dtype: 'F32',
      bytes: async () => narrow(await whole.readF32(name), 'F32'),
    }));
    await writeFileAtomically(join(dir, shard), (put) => writeSafetensors(tensors, {}, put));
  }
  const index = JSON.stringify({ metadata: {}, weight_map: weightMap });
  writeFileSync(join(dir, 'model.safetensors.index.json'), index);
  copyFileSync(golden('tiny-gqa/config.json'), join(dir, 'config.json'));
}
