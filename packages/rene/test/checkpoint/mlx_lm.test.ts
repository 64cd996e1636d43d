// Hybrids as mlx-lm writes them: names, layouts, Falcon-H1's multipliers in the weights; floats, 4 and 8 bits.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { goldenPath, temporaryFolders, testBackend } from '@rene-js/testing';
import { expect } from 'chai';
import { AutoModelForCausalLM } from '../../src/auto_model.js';
import { convertCheckpoint } from '../../src/checkpoint/convert.js';
import { openCheckpoint } from '../../src/checkpoint/open_checkpoint.js';
import { type TensorToWrite, writeSafetensors } from '../../src/checkpoint/safetensors.js';
import { asRecord, parseJson, stringifyJson } from '../../src/json.js';
import { dequantize, quantize, toBf16 } from './mlx_writer.js';

type Json = Record<string, unknown>;
interface Tensor {
  name: string;
  shape: readonly number[];
  values: Float32Array;
}

const ids = [[5, 17, 3, 44, 9, 23, 60, 8]];

/** mlx-lm's sanitize(), from its definition. */
function sanitized(tensors: readonly Tensor[], config: Json): Tensor[] {
  const number = (key: string) => Number(config[key] ?? 1);
  const list = (key: string) => [config[key]].flat().map(Number);
  const sections = [0, 0, 0, 0, 0].map((_, i) => list('ssm_multipliers')[i] ?? 1);
  const inner = Number(config.mamba_d_ssm ?? 0);
  const states = Number(config.mamba_n_groups ?? 0) * Number(config.mamba_d_state ?? 0);
  const widths = [inner, inner, states, states, Number(config.mamba_n_heads ?? 0)];
  const rows = widths.flatMap((width, i) => Array<number>(width).fill(sections[i] ?? 1));
  const isFalcon = config.model_type === 'falcon_h1';
  const factor = (name: string, row: number): number => {
    if (!isFalcon) return 1;
    if (name.endsWith('embed_tokens.weight')) return number('embedding_multiplier');
    if (name.endsWith('lm_head.weight')) return number('lm_head_multiplier');
    if (/\.[qk]_proj\.weight$/.test(name)) return number('attention_in_multiplier');
    if (name.endsWith('.o_proj.weight')) return number('attention_out_multiplier');
    if (name.endsWith('.out_proj.weight')) return number('ssm_out_multiplier');
    if (name.endsWith('gate_proj.weight')) return list('mlp_multipliers')[0] ?? 1;
    if (name.endsWith('down_proj.weight')) return list('mlp_multipliers')[1] ?? 1;
    return name.endsWith('.in_proj.weight') ? number('ssm_in_multiplier') * (rows[row] ?? 1) : 1;
  };
  return tensors.flatMap(({ name, shape, values }): Tensor[] => {
    if (name.endsWith('conv1d.weight')) {
      return [{ name, shape: [shape[0] ?? 0, shape[2] ?? 0, 1], values }];
    }
    if (name.endsWith('shared_mlp.input_linear.weight')) {
      const half = [(shape[0] ?? 0) / 2, shape[1] ?? 0];
      const at = values.length / 2;
      return ['gate', 'up'].map((part, i) => ({
        name: name.replace('shared_mlp.input_linear', `mlp.${part}_proj`),
        shape: half,
        values: values.slice(i * at, (i + 1) * at),
      }));
    }
    const columns = values.length / (shape[0] ?? 1);
    const scaled = values.map((value, i) => value * factor(name, Math.floor(i / columns)));
    const renamed = name.replace('shared_mlp.output_linear', 'mlp.down_proj');
    return [{ name: renamed, shape, values: scaled }];
  });
}

function raw(values: Float32Array | Uint32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function bf16(values: Float32Array): Uint8Array {
  return raw(values.map(toBf16)).filter((_, i) => i % 4 >= 2);
}

/** MLX quantises matrices of whole groups. */
const isMatrix = ({ name, shape: [, columns = 1, third] }: Tensor) =>
  third === undefined && columns % 32 === 0 && name.endsWith('.weight');

/** As mlx_lm.convert -q writes it; with the matrices quantised. */
function written(tensor: Tensor, bits: number | undefined): TensorToWrite[] {
  const { name, shape, values } = tensor;
  if (bits === undefined || !isMatrix(tensor)) {
    return [{ name, dtype: 'F32', shape, bytes: () => raw(values) }];
  }
  const { words, scales, biases } = quantize(values, bits, 32);
  const [rows = 0, columns = 0] = shape;
  const stem = name.slice(0, -'.weight'.length);
  const groups = [rows, columns / 32];
  return [
    { name, dtype: 'U32', shape: [rows, words.length / rows], bytes: () => raw(words) },
    { name: `${stem}.scales`, dtype: 'BF16', shape: groups, bytes: () => bf16(scales) },
    { name: `${stem}.biases`, dtype: 'BF16', shape: groups, bytes: () => bf16(biases) },
  ];
}

describe('hybrids of mlx-lm', function () {
  this.timeout(60_000);
  const newFolder = temporaryFolders();

  async function tensorsOf(dir: string): Promise<Tensor[]> {
    const checkpoint = await openCheckpoint(dir);
    const tensors: Tensor[] = [];
    for (const name of checkpoint.names) {
      const { shape } = checkpoint.info(name);
      tensors.push({ name, shape, values: Float32Array.from(await checkpoint.readF32(name)) });
    }
    await checkpoint.close();
    return tensors;
  }
  async function folderOf(config: Json, tensors: readonly TensorToWrite[]): Promise<string> {
    const dir = `${newFolder()}/model`;
    await mkdir(dir);
    await writeFile(`${dir}/config.json`, stringifyJson(config));
    const parts: Uint8Array[] = [];
    await writeSafetensors(tensors, { format: 'mlx' }, async (bytes) => {
      parts.push(Uint8Array.from(bytes));
    });
    await writeFile(`${dir}/model.safetensors`, Buffer.concat(parts));
    return dir;
  }
  async function logitsOf(dir: string, notices: string[] = []): Promise<Float32Array> {
    const model = await AutoModelForCausalLM.fromPretrained(dir, {
      backend: testBackend,
      dtype: 'f32',
      onNotice: (notice) => notices.push(notice),
    });
    const logits = model.forward(ids);
    const values = Float32Array.from(await logits.data());
    logits.dispose();
    model.dispose();
    return values;
  }
  function expectClose(found: Float32Array, expected: Float32Array, what: string): void {
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const worst = expected.reduce(
      (most, value, i) => Math.max(most, Math.abs(value - (found[i] ?? Number.NaN))),
      0,
    );
    expect(found.length).to.equal(expected.length);
    expect(worst / largest, what).to.be.below(2e-5);
  }

  for (const name of [
    'granite-h-rope',
    'falcon-h1',
    'falcon-h1-norm-tied',
    'nemotron-h',
    'mamba2-hf-bf16-tied-groups',
  ]) {
    it(`${name}: floats, 8 and 4 bits`, async () => {
      const source = goldenPath(`hybrids/${name}`);
      const text = await readFile(`${source}/config.json`, 'utf8');
      const config: Json = asRecord(parseJson(text)) ?? {};
      const original = await tensorsOf(source);
      const tensors = sanitized(original, config);
      const floats = await folderOf(
        config,
        tensors.flatMap((tensor) => written(tensor, undefined)),
      );
      const notices: string[] = [];
      expectClose(await logitsOf(floats, notices), await logitsOf(source), 'floats');
      const isFalcon = name.startsWith('falcon');
      expect(notices.join()).to.match(isFalcon ? /key_multiplier to 1 in config\.json/ : /^$/);
      // Written again, it is the same model with the original's names.
      const converted = `${newFolder()}/converted`;
      await convertCheckpoint(floats, converted);
      expectClose(await logitsOf(converted), await logitsOf(source), 'converted');
      const again = await tensorsOf(converted);
      const sorted = (list: readonly Tensor[]) => list.map((tensor) => tensor.name).sort();
      expect(sorted(again)).to.deep.equal(sorted(original));
      for (const bits of [8, 4]) {
        const rounded = tensors.map((tensor) => ({
          ...tensor,
          values: isMatrix(tensor)
            ? dequantize(quantize(tensor.values, bits, 32), bits, 32)
            : tensor.values,
        }));
        const expected = await logitsOf(
          await folderOf(
            config,
            rounded.flatMap((tensor) => written(tensor, undefined)),
          ),
        );
        const quantized = await folderOf(
          { ...config, quantization: { bits, group_size: 32 } },
          tensors.flatMap((tensor) => written(tensor, bits)),
        );
        expectClose(await logitsOf(quantized), expected, `${bits} bits`);
      }
    });
  }
});
