// Adapters that cannot be applied as in PEFT are refused by name, without open files.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { useBackend } from '@rene-js/layers';
import { errorOf, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { parseConfig } from '../../src/config.js';
import { CheckpointError, ReneLMHeadModel } from '../../src/index.js';
import { parseAdapterConfig } from '../../src/lora/adapter_config.js';
import { openAdapter } from '../../src/lora/open_adapter.js';
import { planAdapter } from '../../src/lora/target_modules.js';
import { LoraAdapter } from '../../src/training/lora.js';

const DATA = fileURLToPath(new URL('../../../test/lora/data/', import.meta.url));

function json(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(`${DATA}${path}`, 'utf8'));
}

const plain = json('plain/adapter_config.json');
const base = parseConfig(json('base/config.json'));

function refusal(changes: Record<string, unknown>): string {
  try {
    planAdapter(base, parseAdapterConfig({ ...plain, ...changes }, 'a.json'), 'a.json');
  } catch (error) {
    expect(error).to.be.instanceOf(CheckpointError);
    return String(error);
  }
  return 'accepted';
}

describe('adapters that are refused', () => {
  const folder = temporaryFolders();

  const unsupported: [key: string, value: unknown][] = [
    ['peft_type', 'IA3'],
    ['task_type', 'SEQ_CLS'],
    ['trainable_token_indices', [1, 2]],
    ['layer_replication', [[0, 2]]],
    ['alora_invocation_tokens', [5]],
    ['target_parameters', ['experts.up']],
    ['megatron_config', { a: 1 }],
    ['use_qalora', true],
    ['use_bdlora', { nblocks: 2 }],
    ['arrow_config', { top_k: 2 }],
    ['kasa_config', { beta: 1 }],
    ['monteclora_config', { num_samples: 4 }],
    ['ensure_weight_tying', true],
    ['enable_lora', [true, false]],
    ['init_lora_weights', 'pissa_niter_4'],
    ['init_lora_weights', 'olora'],
    ['init_lora_weights', 'corda'],
    ['init_lora_weights', 'loftq'],
    ['bias', 'some'],
    ['r', 0],
    ['r', 2.5],
    ['lora_alpha', '16'],
    ['lora_alpha', null],
    ['use_rslora', 'yes'],
    ['use_dora', 1],
    ['rank_pattern', { in_proj: 0 }],
    ['rank_pattern', { '(': 2 }],
    ['alpha_pattern', [1]],
    ['target_modules', null],
    ['target_modules', ['query', 'value']],
    ['target_modules', 'in_proj'],
    ['target_modules', '*'],
    ['target_modules', ['conv1d']],
    ['target_modules', ['norm_f']],
    ['exclude_modules', '.*'],
    ['exclude_modules', 3],
    ['layers_to_transform', 'all'],
    ['layers_to_transform', [9]],
    ['layers_pattern', ['layers']],
    ['modules_to_save', ['classifier']],
    ['modules_to_save', ['in_proj', 'out_proj']],
  ];
  for (const [key, value] of unsupported) {
    it(`${key}: ${JSON.stringify(value)}`, () => {
      if (key === 'lora_alpha' && value === null) {
        // As PEFT's default.
        expect(refusal({ [key]: value })).to.equal('accepted');
        return;
      }
      const about = ['exclude_modules', 'layers_to_transform', 'modules_to_save'];
      const named = about.includes(key) ? `(${key}|target_modules)` : key;
      expect(refusal({ [key]: value })).to.match(new RegExp(`a\\.json: ${named}`));
    });
  }

  it('combinations that PEFT refuses', () => {
    expect(refusal({ target_modules: '.*in_proj', layers_to_transform: [0] })).to.match(
      /layers_to_transform: expected null/,
    );
    expect(refusal({ use_dora: true, lora_bias: true })).to.match(/lora_bias: expected false/);
    expect(refusal({ layers_to_transform: [0], layers_pattern: '(' })).to.match(/layers_pattern/);
  });

  it('any unknown key, by name; every key that PEFT writes is known', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.jsonValue(), (key, value) => {
        fc.pre(!(key in plain) && key !== '__proto__');
        const known = ['runtime_config', 'merge_weights', 'enable_lora'].includes(key);
        if (!known) expect(refusal({ [key]: value })).to.contain(`a.json: ${key}: unknown key`);
      }),
    );
    for (const name of readdirSync(DATA)) {
      const path = `${name}/adapter_config.json`;
      if (existsSync(`${DATA}${path}`)) parseAdapterConfig(json(path), path);
    }
  });

  it('an adapter_config.json nested a million deep', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 1e6; i++) deep = [deep];
    expect(refusal({ lora_alpha: deep })).to.match(/lora_alpha: .*found deeply nested lists/);
    expect(() => parseAdapterConfig(deep, 'a.json')).to.throw(
      CheckpointError,
      /expected an object/,
    );
  });

  it("files that do not fit, with the tensors' names and without open files", async function () {
    if (!existsSync('/proc/self/fd')) this.skip();
    await useBackend('cpu');
    const model = await ReneLMHeadModel.fromPretrained(`${DATA}base`, { trainable: true });
    const changed = (name: string, changes: Record<string, unknown>): string => {
      const dir = join(folder(), name);
      cpSync(`${DATA}${name}`, dir, { recursive: true });
      const path = join(dir, 'adapter_config.json');
      writeFileSync(path, JSON.stringify({ ...json(`${name}/adapter_config.json`), ...changes }));
      return dir;
    };
    const without = changed('plain', {});
    rmSync(join(without, 'adapter_model.safetensors'));
    const cases: [dir: string, message: RegExp][] = [
      [changed('plain', { r: 3 }), /lora_A\.weight: expected shape \[3, 8\], found \[2, 8\]/],
      [changed('plain', { r: 0 }), /r: expected a whole number/],
      [changed('plain', { target_modules: ['in_proj'] }), /out_proj\.lora_A\.weight: unknown/],
      [
        changed('plain', { use_dora: true }),
        /lora_magnitude_vector: expected shape \[\d+\], found no/,
      ],
      [changed('plain', { modules_to_save: ['norm_f'] }), /norm_f\.weight: .*found no such tensor/],
      [changed('dora', { use_dora: false }), /lora_magnitude_vector: unknown/],
      [changed('lora_bias', { target_modules: ['in_proj', 'lm_head'] }), /lm_head: |lm_head\./],
      [without, /adapter_model\.safetensors: no such file/],
      [folder(), /adapter_config\.json: no such file; expected a LoRA adapter, with/],
      [join(folder(), 'x y'), /expected the folder of a LoRA adapter/],
    ];
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    for (const [dir, message] of cases) {
      for (const load of [
        () => LoraAdapter.load(model, dir),
        () => openAdapter(dir, base),
        () => ReneLMHeadModel.fromPretrained(`${DATA}base`, { lora: dir }),
      ]) {
        expect((await errorOf(CheckpointError, load)).message).to.match(message);
      }
    }
    expect(open()).to.equal(before);
    const bias = await errorOf(CheckpointError, () => LoraAdapter.load(model, `${DATA}lora_bias`));
    expect(bias.message).to.match(/lora_bias: expected false/);
    expect(open()).to.equal(before);
    model.dispose();
  });
});
