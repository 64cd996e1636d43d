// Quantised checkpoints, MLX's and ours: values, names, configuration, refusals.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  disposeParameters,
  initParameters,
  type PackedWeight,
  type Parameter,
  type QuantizedMatrix,
  rowsWeight,
  useBackend,
} from '@rene-js/layers';
import { readAsF32, registerWeightPacker } from '@rene-js/layers/internal';
import { errorOf, temporaryFolders } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { blueprintOf, modelParameters } from '../../src/architectures/index.js';
import { loadParameters } from '../../src/checkpoint/load_parameters.js';
import { writeFileAtomically } from '../../src/checkpoint/node_files.js';
import { openCheckpoint } from '../../src/checkpoint/open_checkpoint.js';
import { readConfig } from '../../src/checkpoint/read_config.js';
import { resolveTokenizer } from '../../src/checkpoint/resolve.js';
import { writeSafetensors } from '../../src/checkpoint/safetensors.js';
import { layerKinds } from '../../src/config.js';
import { CheckpointError, ConfigError, ReneError } from '../../src/errors.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import { config } from './mlx_config.js';
import { dequantize, mlxMetadata, mlxTensors, type PlainTensor, quantize } from './mlx_writer.js';

async function plainTensors(parameters: ReadonlyMap<string, Parameter>): Promise<PlainTensor[]> {
  const tensors: PlainTensor[] = [];
  for (const { name, shape } of modelParameters(config)) {
    const parameter = parameters.get(name);
    const tensor = parameter instanceof tf.Tensor ? parameter : parameter?.tensor;
    tensors.push({ name, shape, values: Float32Array.from((await tensor?.data()) ?? []) });
  }
  return tensors;
}

describe('quantised checkpoints', () => {
  const folder = temporaryFolders();
  let tensors: PlainTensor[];

  before(async () => {
    await useBackend('cpu');
    const parameters = await initParameters(modelParameters(config), 5);
    tensors = await plainTensors(parameters);
    disposeParameters(parameters);
  });

  /** A folder with the model as written by cartesia-mlx. */
  async function mlxFolder(
    quantization?: { bits: number; groupSize: number },
    changes: Record<string, string> = {},
  ): Promise<string> {
    const dir = folder();
    const metadata = { ...mlxMetadata(config, quantization), ...changes };
    const written = mlxTensors(tensors, layerKinds(config), quantization);
    await writeFileAtomically(join(dir, 'model.safetensors'), (put) =>
      writeSafetensors(written, metadata, put),
    );
    return dir;
  }

  it("reads cartesia-mlx's configuration from the file", async () => {
    const found = await readConfig(await mlxFolder());
    // The file does not contain these.
    expect(found).to.deep.equal({ ...config, padTokenId: 1 });
  });

  it("uses cartesia-mlx's defaults for missing values", async () => {
    const dir = await mlxFolder();
    const path = join(dir, 'model.safetensors');
    const blocks = ['SSD', 'SwiGLU', 'SelfAttention'].map((name, i) => [
      `model.unique_layers.${i}.layer._class_`,
      JSON.stringify(`layers.x.${name}`),
    ]);
    const metadata = { _class_: '"models.rene.Rene"', ...Object.fromEntries(blocks) };
    await writeFileAtomically(path, (put) => writeSafetensors([], metadata, put));
    const found = await readConfig(dir);
    expect(found).to.deep.include({ dModel: 2048, nLayer: 3, vocabSize: 50288, lmHeadBias: true });
    expect(found.ssm).to.deep.include({ dState: 64, headDim: 64, dInner: 4096, dConv: 4 });
    expect(found.attn).to.deep.include({ numHeads: 32, numHeadsKv: 1, slidingWindowLength: 4096 });
    expect(found.mlp).to.deep.equal({
      dInner: 4096,
      bias: false,
      gated: true,
      norm: true,
      activation: 'silu',
    });
  });

  it("an unquantised MLX model has the original's logits", async () => {
    const parameters = await initParameters(modelParameters(config), 5);
    const original = new ReneLMHeadModel(config, parameters);
    const mlx = await ReneLMHeadModel.fromPretrained(await mlxFolder());
    const ids = [[3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26]];
    const expected = await original.forward(ids).data();
    const found = await mlx.forward(ids).data();
    // The logarithm of A changes its last bit.
    for (const [i, value] of expected.entries()) expect(found[i]).to.be.closeTo(value, 1e-5);
    original.dispose();
    mlx.dispose();
  });

  it('names a quantised matrix where its last part is in the file', async () => {
    const dir = folder();
    const bytes = () => new Uint8Array(0);
    const part = (name: string, dtype: string) => ({ name, dtype, shape: [0, 0], bytes });
    const parts = [part('a.weight', 'U32'), part('b.scales', 'F32'), part('b.biases', 'F32')];
    const rest = [part('b.weight', 'U32'), part('a.biases', 'F32'), part('c.weight', 'F32')];
    await writeFileAtomically(join(dir, 'model.safetensors'), (put) =>
      writeSafetensors([...parts, ...rest, part('a.scales', 'F32')], {}, put),
    );
    const quantization = { bits: 4, group_size: 64 };
    const checkpoint = await openCheckpoint(dir, { quantization });
    expect(checkpoint.names).to.deep.equal(['b.weight', 'c.weight', 'a.weight']);
    await checkpoint.close();
  });

  for (const bits of [2, 3, 4, 5, 6, 8]) {
    for (const groupSize of bits % 4 === 0 ? [32, 64, 128] : [64]) {
      it(`reads ${bits} bits in groups of ${groupSize} as defined by MLX`, async () => {
        const checkpoint = await openCheckpoint(await mlxFolder({ bits, groupSize }));
        expect([...checkpoint.names].sort()).to.deep.equal(tensors.map(({ name }) => name).sort());
        let count = 0;
        for (const { name, shape, values } of tensors) {
          expect(checkpoint.info(name).shape, name).to.deep.equal([...shape]);
          if (checkpoint.info(name).dtype === 'F32') continue;
          count++;
          expect(checkpoint.info(name).dtype).to.equal(`int${bits}`);
          const matrix = checkpoint.storedMatrix(name);
          const expected = dequantize(quantize(values, bits, groupSize), bits, groupSize);
          expect(await readAsF32(matrix)).to.deep.equal(expected);
          // Values of fewer bits than a backend supports become values of more bits without rounding.
          const held = bits <= 4 ? 4 : 8;
          expect(matrix.quantized).to.deep.include({ format: `int${held}`, groupSize });
          const { values: bytes } = (await matrix.quantized?.readRows(0, shape[0] ?? 0)) ?? {};
          const words = new Uint32Array(bytes?.slice().buffer ?? new ArrayBuffer(0));
          const { scales, biases } = quantize(values, bits, groupSize);
          expect(dequantize({ words, scales, biases }, held, groupSize)).to.deep.equal(expected);
          const error = Math.max(...expected.map((x, i) => Math.abs(x - (values[i] ?? 0))));
          expect(error).to.be.below((0.02 + 2 / (2 ** bits - 1)) * Math.max(...values));
        }
        expect(count).to.equal(9);
        await checkpoint.close();
      });
    }
  }

  it('reads matrices with different quantisations, by the names of their modules', async () => {
    const kinds = layerKinds(config);
    const others = {
      'model.layers.0.layer.in_proj': { bits: 6, groupSize: 32 },
      'model.layers.1.layer.out_proj': { bits: 3, groupSize: 64 },
      'model.layers.2.layer.qkv_proj': null,
      'head.linear': { bits: 8, groupSize: 128 },
    };
    const general = { bits: 4, groupSize: 64 };
    const section = (value: { bits: number; groupSize: number } | null) =>
      value && { bits: value.bits, group_size: value.groupSize };
    const written = mlxTensors(tensors, kinds, general, others);
    const plain = mlxMetadata(config);
    const byName = Object.fromEntries(
      Object.entries(others).map(([name, value]) => [name, section(value) ?? false]),
    );
    // Flattened as in its own file, and as MLX's config.json has it under either key.
    const flat: Record<string, string> = {
      'quantization_kwargs.bits': '4',
      'quantization_kwargs.group_size': '64',
      'quantization_kwargs.mode': '"affine"',
    };
    for (const [name, value] of Object.entries(others)) {
      const key = `quantization_kwargs.${name}`;
      if (value === null) flat[key] = 'false';
      else {
        flat[`${key}.bits`] = `${value.bits}`;
        flat[`${key}.group_size`] = `${value.groupSize}`;
      }
    }
    const json = { ...section(general), mode: 'affine', ...byName };
    const folders: [metadata: Record<string, string>, json: unknown][] = [
      [{ ...plain, ...flat }, undefined],
      [{ format: 'mlx' }, { quantization: json }],
      [{ format: 'mlx' }, { quantization_config: json }],
      [{ format: 'mlx' }, { quantization: json, quantization_config: { quant_method: 'awq' } }],
    ];
    for (const [metadata, configJson] of folders) {
      const dir = folder();
      await writeFileAtomically(join(dir, 'model.safetensors'), (put) =>
        writeSafetensors(written, metadata, put),
      );
      if (configJson !== undefined) {
        writeFileSync(join(dir, 'config.json'), JSON.stringify(configJson));
      }
      const checkpoint = await openCheckpoint(dir);
      const isMlx = configJson === undefined;
      const name = (module: string) =>
        `${isMlx ? `backbone.layers.${module}` : `model.layers.${module.replace('mixer', 'layer')}`}.weight`;
      const dtypeOf = (module: string) => checkpoint.info(name(module)).dtype;
      expect(dtypeOf('0.mixer.in_proj')).to.equal('int6');
      expect(dtypeOf('1.mixer.out_proj')).to.equal('int3');
      expect(dtypeOf('0.mixer.out_proj')).to.equal('int4');
      expect(dtypeOf(isMlx ? '2.mixer.in_proj' : '2.mixer.qkv_proj')).to.equal('F32');
      const original = tensors.find(
        ({ name }) => name === 'backbone.layers.1.mixer.out_proj.weight',
      );
      const expected = dequantize(quantize(original?.values ?? new Float32Array(0), 3, 64), 3, 64);
      expect(await readAsF32(checkpoint.storedMatrix(name('1.mixer.out_proj')))).to.deep.equal(
        expected,
      );
      await checkpoint.close();
    }
  });

  it('refuses other quantisation formats by name', async () => {
    const cases: [section: unknown, message: RegExp][] = [
      [
        { quantization: { bits: 4, group_size: 32, mode: 'mxfp4' } },
        /quantization\.mode: .*"mxfp4"/,
      ],
      [{ quantization_config: { bits: 8, mode: 'nvfp4' } }, /quantization_config\.mode: .*"nvfp4"/],
      [
        { quantization: { bits: 4, 'lm_head.x': { mode: 'mxfp8' } } },
        /quantization\['lm_head\.x'\]\.mode/,
      ],
      [{ quantization: { 'lm_head.x': { bits: 7 } } }, /\['lm_head\.x'\]\.bits: expected 2, 3/],
      [{ quantization_config: { quant_method: 'gptq', bits: 4 } }, /quant_method: .*found "gptq"/],
      [{ quantization_config: { quant_method: 'bitsandbytes' } }, /found "bitsandbytes"/],
      [{ quantization: 4 }, /quantization: expected an object, found 4/],
      [{ quantization: { bits: '4' } }, /quantization\.bits: expected .*found "4"/],
    ];
    for (const [json, message] of cases) {
      const dir = folder();
      writeFileSync(join(dir, 'config.json'), JSON.stringify(json));
      await writeFileAtomically(join(dir, 'model.safetensors'), (put) =>
        writeSafetensors([], {}, put),
      );
      const error = await errorOf(ConfigError, () => openCheckpoint(dir));
      expect(error.message).to.match(message);
    }
    const none = folder();
    writeFileSync(join(none, 'config.json'), '{"quantization": null, "quantization_config": null}');
    await writeFileAtomically(join(none, 'model.safetensors'), (put) =>
      writeSafetensors([], {}, put),
    );
    await (await openCheckpoint(none)).close();
  });

  it('passes quantised values to backends that support them, and floats to the others', async () => {
    const dir = await mlxFolder({ bits: 8, groupSize: 32 });
    const taken: string[] = [];
    const weight = ({ shape }: { shape: readonly [number, number] }) =>
      rowsWeight(tf.keep(tf.zeros([...shape])));
    tf.registerBackend('quantized-test', () => tf.findBackend('cpu'));
    registerWeightPacker('quantized-test', {
      formats: ['int8'],
      pack: async (matrix) => {
        taken.push('numbers');
        return weight(matrix);
      },
      unpack: () => Promise.reject(new Error('not asked for')),
      packQuantized: async (matrix: QuantizedMatrix): Promise<PackedWeight> => {
        const [rows, columns] = matrix.shape;
        const { values, scales } = await matrix.readRows(8, 8);
        expect([values.length, scales.length]).to.deep.equal([8 * columns, (16 * columns) / 32]);
        expect(rows).to.be.above(16);
        taken.push('quantized');
        return weight(matrix);
      },
    });
    await tf.setBackend('quantized-test');
    const checkpoint = await openCheckpoint(dir);
    for (const [format, count] of [
      ['int8', 9],
      ['int4', 0],
    ] as const) {
      taken.length = 0;
      disposeParameters(await loadParameters(checkpoint, blueprintOf(config), { format }));
      expect(taken.filter((what) => what === 'quantized').length).to.equal(count);
      expect(taken.length).to.equal(11);
    }
    taken.length = 0;
    const options = { format: 'f32', keepQuantized: true } as const;
    disposeParameters(await loadParameters(checkpoint, blueprintOf(config), options));
    expect(taken.filter((what) => what === 'quantized').length).to.equal(9);
    await checkpoint.close();
    await tf.setBackend('cpu');
    tf.removeBackend('quantized-test');
  });

  it('loads in the stored format by default, including quantised values', async () => {
    const dir = await mlxFolder({ bits: 4, groupSize: 32 });
    const ids = [[3, 14, 15, 92, 65, 35, 89, 79]];
    const numbers = await ReneLMHeadModel.fromPretrained(dir, { backend: 'cpu' });
    const expected = await numbers.forward(ids).data();
    numbers.dispose();
    const quantized = await ReneLMHeadModel.fromPretrained(dir, { backend: 'simd' });
    const found = await quantized.forward(ids).data();
    const formats = [...quantized.parameters.values()].map((p) =>
      'format' in p ? p.format : 'vector',
    );
    expect(formats.filter((format) => format === 'int4').length).to.equal(9);
    expect(formats.filter((format) => format === 'f32').length).to.equal(2);
    quantized.dispose();
    await useBackend('cpu');
    // Activations are rounded to 8 bits in matmuls with quantised values.
    const size = Math.max(...expected.map(Math.abs));
    const error = Math.max(...expected.map((value, i) => Math.abs(value - (found[i] ?? 0))));
    expect(error / size).to.be.below(0.05);
  });

  it('refuses inconsistent quantised tensors', async () => {
    const open = async (changes: Record<string, string>) => {
      const file = await mlxFolder({ bits: 4, groupSize: 32 }, changes);
      const checkpoint = await openCheckpoint(file);
      await checkpoint.close();
      return checkpoint.info('lm_head.weight');
    };
    expect((await open({})).dtype).to.equal('int4');
    const bits = await errorOf(CheckpointError, () => open({ 'quantization_kwargs.bits': '8' }));
    expect(bits.message).to.match(/'head\.linear\.weight': its scales are BF16 of shape \[96, 4\]/);
    const odd = await errorOf(ConfigError, () => open({ 'quantization_kwargs.bits': '7' }));
    expect(odd.key).to.equal('quantization_kwargs.bits');
    await errorOf(ConfigError, () => open({ 'quantization_kwargs.group_size': '48' }));
    const plain = folder();
    writeFileSync(join(plain, 'config.json'), '{"quantization": {"bits": 4, "group_size": 7}}');
    await writeFileAtomically(join(plain, 'model.safetensors'), (put) =>
      writeSafetensors([], {}, put),
    );
    const section = await errorOf(ConfigError, () => openCheckpoint(plain));
    expect(section.message).to.match(
      /config\.json: quantization\.group_size: expected 32, 64 or 128/,
    );
  });

  it('refuses configurations that it would compute differently', async () => {
    const groups = Object.fromEntries(
      [0, 3].map((i) => [`model.unique_layers.${i}.layer.n_groups`, '2']),
    );
    const cases: [changes: Record<string, string>, message: RegExp][] = [
      [{ 'model.unique_layers.0.layer._class_': '"layers.x.Conv"' }, /_class_.*SSD.*Conv/],
      [{ 'model.unique_layers.0.norm_point': '"post"' }, /norm_point: expected pre/],
      [groups, /n_groups: expected 1/],
      [{ 'model.unique_layers.0.layer.d_state': '32' }, /identical ssd layers/],
      [{ 'model.post_norm': 'false' }, /post_norm/],
      [{ 'model.final_proj': 'true' }, /final_proj/],
      [{ 'model.n_layer_repeats': '"x"' }, /unique_layers/],
      [{ d_model: '"wide"' }, /dModel/],
      [{ 'model.unique_layers.2.layer.causal': 'false' }, /causal/],
      [{ 'model.unique_layers.0.layer.d_head': '{' }, /d_head: expected JSON/],
      [{ 'd_model.x': '1' }, /d_model\.x: expected a section/],
    ];
    for (const [changes, message] of cases) {
      const dir = await mlxFolder(undefined, changes);
      const error = await errorOf(ConfigError, () => readConfig(dir));
      expect(error.message).to.match(message).and.to.contain('model.safetensors');
    }
  });

  it("knows an MLX model's tokenizer", async () => {
    const notices: string[] = [];
    const options = { offline: true, cacheDir: folder(), onNotice: (n: string) => notices.push(n) };
    const dir = await mlxFolder(undefined, { 'tokenizer.name': '"some-lab/words"' });
    const error = await errorOf(ReneError, () => resolveTokenizer(dir, options));
    expect(error.message).to.match(/some-lab\/words \(main\) is not complete in the cache/);
    expect(notices[0]).to.match(/using that of some-lab\/words/);
  });
});
