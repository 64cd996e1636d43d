// verify() fails, and names the location, for any difference from the reference: a weight, an option, an id,
// a missing tensor. Otherwise its success would mean nothing.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { useBackend } from '@rene-js/layers';
import { CheckpointError } from '@rene-js/rene';
import {
  type Block,
  errorOf,
  golden,
  makeGoldenFolder,
  readJson,
  readTensors,
  temporaryFolders,
  writeJson,
  writeTensors,
} from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { type Check, defaultTolerances, passed } from '../../src/verify/check.js';
import { verify } from '../../src/verify/verify.js';

const config = {
  model_type: 'rene',
  d_model: 4,
  n_layer: 3,
  vocab_size: 12,
  pad_vocab_size_multiple: 4,
  eos_token_id: 11,
  ssm_cfg: { headdim: 2, d_state: 3, ngroups: 2, expand: 2, dt_limit: [0.1, 0.5], bias: true },
  attn_layer_idx: [1],
  attn_cfg: { num_heads: 2, num_heads_kv: 1, head_dim: 2, sliding_window_length: 5 },
  mlp_layer_idx: [2],
  mlp_cfg: {},
};

describe('verify reports', () => {
  const folder = temporaryFolders();
  let right = '';
  let tensors = 0;

  before(async () => {
    await useBackend('cpu');
    right = folder();
    const options = { config, batch: 2, length: 6, seed: 'failures', gradients: true };
    await makeGoldenFolder(right, options);
    expect(await failuresOf(right)).to.deep.equal([]);
  });
  beforeEach(() => {
    tensors = tf.memory().numTensors;
  });
  afterEach(() => {
    expect(tf.memory().numTensors, 'tensors left behind').to.equal(tensors);
  });

  /** A copy of the reference folder, without these files. */
  function copied(...without: string[]): string {
    const dir = folder();
    const filter = (path: string) => !without.some((name) => path.endsWith(name));
    cpSync(right, dir, { recursive: true, filter });
    return dir;
  }

  /** A copy of the reference folder with one changed file, without slow checks. */
  async function tampered(
    file: 'model' | 'golden' | 'grads',
    change: (blocks: Map<string, Required<Block>>) => void,
  ): Promise<string> {
    const dir = copied('generate.json', ...(file === 'grads' ? [] : ['grads.safetensors']));
    const path = join(dir, `${file}.safetensors`);
    const blocks = await readTensors(path);
    change(blocks);
    await writeTensors(path, blocks);
    return dir;
  }

  const weights = [
    'backbone.embedding.weight',
    'backbone.layers.0.norm.weight',
    'backbone.layers.0.mixer.in_proj.weight',
    'backbone.layers.0.mixer.in_proj.bias',
    'backbone.layers.0.mixer.conv1d.weight',
    'backbone.layers.0.mixer.conv1d.bias',
    'backbone.layers.0.mixer.A_log',
    'backbone.layers.0.mixer.dt_bias',
    'backbone.layers.0.mixer.D',
    'backbone.layers.0.mixer.norm.weight',
    'backbone.layers.1.mixer.in_proj.weight',
    'backbone.layers.1.mixer.out_proj.bias',
    'backbone.layers.2.mixer.in_proj.bias',
    'backbone.norm_f.weight',
  ];
  for (const name of weights) {
    it(`a perturbed ${name}`, async () => {
      const dir = await tampered('model', (blocks) => add(blocks, name, 0.02, 'everywhere'));
      const failures = await failuresOf(dir);
      const layer = Number(name.split('.')[2]);
      const hidden = failures.find((check) => check.name === 'hidden states');
      expect(hidden?.detail).to.match(/^hidden\.(embed|\d|norm_f)/);
      // No block before the perturbed one is reported.
      const blamed = /^hidden\.(\d)/.exec(hidden?.detail ?? '')?.[1];
      if (blamed && layer >= 0) expect(Number(blamed)).to.be.at.least(layer);
    });
  }

  const options: Record<string, object> = {
    'a window too long by one': { attn_cfg: { ...config.attn_cfg, sliding_window_length: 6 } },
    'a window too short by one': { attn_cfg: { ...config.attn_cfg, sliding_window_length: 4 } },
    'the wrong scale': { attn_cfg: { ...config.attn_cfg, softmax_scale: 0.7 } },
    'the order of gate and norm': { ssm_cfg: { ...config.ssm_cfg, norm_before_gate: true } },
    'no dt limits': { ssm_cfg: { ...config.ssm_cfg, dt_limit: [0, Number.POSITIVE_INFINITY] } },
    'another activation': { mlp_cfg: { activation: 'silu' } },
    'another eps': { norm_epsilon: 1e-3 },
  };
  for (const [title, changed] of Object.entries(options)) {
    it(`an option in the configuration: ${title}`, async () => {
      const dir = copied('generate.json', 'grads.safetensors');
      await writeJson(join(dir, 'config.json'), { ...config, ...changed });
      expect(await failuresOf(dir)).to.not.deep.equal([]);
    });
  }

  const reference: [tensor: string, check: string][] = [
    ['hidden.1', 'hidden states'],
    ['decode.logits', 'decode logits'],
    ['prefill.conv_state.0', 'states after prefill'],
    ['prefill.ssm_state.0', 'states after prefill'],
    ['prefill.v.1', 'states after prefill'],
    ['after_decode.conv_state.0', 'states after decode'],
    ['after_decode.ssm_state.0', 'states after decode'],
    ['after_decode.k.1', 'states after decode'],
  ];
  for (const [tensor, name] of reference) {
    it(`a changed value of ${tensor}`, async () => {
      const dir = await tampered('golden', (blocks) => add(blocks, tensor, 2e-4, 'last'));
      const failures = await failuresOf(dir);
      expect(failures.map((check) => check.name)).to.deep.equal([name]);
      expect(tensor).to.include(failures[0]?.detail.split(' ')[0]);
      expect(failures[0]?.error).to.be.closeTo(2e-4, 5e-5);
    });
  }

  it('a changed value of a gradient, and of the loss', async () => {
    for (const tensor of ['grad.backbone.layers.0.mixer.D', 'loss']) {
      const dir = await tampered('grads', (blocks) => add(blocks, tensor, 1e-3, 'last'));
      const failures = await failuresOf(dir);
      expect(failures.map((check) => check.name)).to.deep.equal(['loss and gradients']);
      expect(failures[0]?.detail).to.include(tensor);
    }
  });

  it('NaN and other shapes, as infinite errors', async () => {
    const nan = await tampered('golden', (blocks) => add(blocks, 'hidden.0', Number.NaN, 'last'));
    expect((await failuresOf(nan))[0]?.error).to.equal(Number.POSITIVE_INFINITY);
    const dir = await tampered('golden', (blocks) => {
      const block = blocks.get('hidden.0');
      if (block) block.shape = [block.values.length];
    });
    const [failure] = await failuresOf(dir);
    expect(failure?.error).to.equal(Number.POSITIVE_INFINITY);
    expect(failure?.detail).to.include('hidden.0: shape [2, 6, 4], expected [48]');
  });

  it('a wrong greedy id, with its row and position', async () => {
    let was = 0;
    const dir = await tampered('golden', (blocks) => {
      const block = blocks.get('greedy.ids');
      if (!block) throw new Error('no greedy.ids');
      const ids = Array.from(block.values);
      was = ids[24 + 5] ?? 0;
      ids[24 + 5] = (was + 1) % 12;
      block.values = ids;
    });
    const failures = await failuresOf(dir);
    expect(failures.map((check) => check.name)).to.deep.equal(['greedy ids']);
    const detail = `row 1: position 5, expected ${(was + 1) % 12}, found ${was}`;
    expect(failures[0]?.detail).to.equal(detail);
  });

  it('a wrong generated sequence, or one that ends too early', async () => {
    for (const change of [
      (sequence: number[]) => sequence.slice(0, -1),
      (sequence: number[]) => sequence.with(-1, ((sequence.at(-1) ?? 0) + 1) % 12),
    ]) {
      const dir = copied('grads.safetensors');
      const path = join(dir, 'generate.json');
      const file = await readGenerate(path);
      const sequences = file.cases[3]?.sequences ?? [];
      sequences[1] = change(sequences[1] ?? []);
      await writeJson(path, file);
      const failures = await failuresOf(dir);
      expect(failures.map((check) => check.name)).to.deep.equal(['generated sequences']);
      expect(failures[0]?.detail).to.match(/repetition_penalty.* row 1: position 17, expected /);
    }
  });

  it('a missing tensor, with its name and file', async () => {
    for (const [file, name] of [
      ['model', 'backbone.layers.0.mixer.D'],
      ['golden', 'logits'],
      ['golden', 'after_decode.ssm_state.0'],
      ['golden', 'prefill.k.1'],
      ['grads', 'loss'],
    ] as const) {
      const dir = await tampered(file, (blocks) => void blocks.delete(name));
      const error = await errorOf(CheckpointError, () => failuresOf(dir));
      expect(error.message).to.include(name).and.to.include(dir);
    }
  });

  it('hidden states that are missing in the reference', async () => {
    const dir = await tampered('golden', (blocks) => {
      for (const name of [...blocks.keys()]) if (name.startsWith('hidden.')) blocks.delete(name);
    });
    const [failure] = await failuresOf(dir);
    expect(failure).to.include({ name: 'hidden states', detail: 'nothing to compare' });
  });

  it('a missing folder, or one without references', async () => {
    const missing = await errorOf(CheckpointError, () => failuresOf(join(right, 'nowhere')));
    expect(missing.message).to.include('no such folder');
    const nothing = await errorOf(CheckpointError, () => failuresOf(folder()));
    expect(nothing.message).to.include('nothing to verify');
  });

  it('an op and its gradient, with the case', async () => {
    const dir = folder();
    const cases = await readJson(golden('ops.json'));
    const one = Array.isArray(cases) ? cases.filter((entry) => entry.op === 'rms_norm') : [];
    await writeJson(join(dir, 'ops.json'), one);
    const blocks = await readTensors(golden('ops.safetensors'));
    add(blocks, 'rms_norm/basic/out.y', 1e-4, 'last');
    add(blocks, 'rms_norm/basic/grad.weight', 1e-4, 'last');
    await writeTensors(join(dir, 'ops.safetensors'), blocks);
    const failures = await failuresOf(dir);
    const names = failures.map((check) => check.name);
    expect(names).to.deep.equal(['rms_norm basic', 'rms_norm basic, gradients']);
    expect(failures[1]?.detail).to.include('weight');
  });

  it('a sampling distribution', async () => {
    const dir = folder();
    // The fixture has a list of logits, and cases that refer to them.
    const file = (await readJson(golden('sampling.json'))) as { cases: { probs: number[] }[] };
    file.cases.length = 3;
    await writeJson(join(dir, 'sampling.json'), file);
    expect(await failuresOf(dir)).to.deep.equal([]);
    const probs = file.cases[1]?.probs ?? [];
    probs[0] = (probs[0] ?? 0) + 1e-6;
    await writeJson(join(dir, 'sampling.json'), file);
    const failures = await failuresOf(dir);
    expect(failures).to.have.length(1);
    expect(failures[0]?.error).to.be.closeTo(1e-6, 1e-9);
  });

  it('leaks no tensors if the caller does not wait for all checks', async () => {
    for await (const check of checksOf(right)) {
      expect(passed(check)).to.equal(true);
      break;
    }
  });
});

function checksOf(dir: string): AsyncGenerator<Check> {
  const options = { tolerances: defaultTolerances, relative: false };
  return verify(dir, options, { backend: 'cpu' });
}

async function failuresOf(dir: string): Promise<Check[]> {
  const failures: Check[] = [];
  for await (const check of checksOf(dir)) if (!passed(check)) failures.push(check);
  return failures;
}

/** Adds to the last value of a tensor, or to all. */
function add(
  blocks: Map<string, Required<Block>>,
  name: string,
  value: number,
  where: 'last' | 'everywhere',
): void {
  const block = blocks.get(name);
  if (!block) throw new Error(`no tensor ${name} to change`);
  block.values = Array.from(block.values, (old, i) =>
    where === 'everywhere' || i === block.values.length - 1 ? old + value : old,
  );
}

async function readGenerate(path: string): Promise<{ cases: { sequences: number[][] }[] }> {
  // Written by makeGoldenFolder.
  return (await readJson(path)) as { cases: { sequences: number[][] }[] };
}
