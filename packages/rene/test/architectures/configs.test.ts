// Configurations of the hybrids: both spellings, the originals' defaults, refusals by name.
import { readFileSync } from 'node:fs';
import { goldenPath } from '@rene-js/testing';
import { expect } from 'chai';
import { blueprintOf, modelConfigToJson, parseModelConfig } from '../../src/architectures/index.js';
import { ConfigError } from '../../src/errors.js';
import { asRecord, parseJson, stringifyJson } from '../../src/json.js';

const names = [
  ...['bamba', 'falcon-h1', 'falcon-h1-norm-tied', 'granite-h-rope'],
  ...['mamba2-hf-bf16-tied-groups', 'nemotron-h'],
];

function read(name: string, file = 'config.json'): Record<string, unknown> {
  return asRecord(parseJson(readFileSync(goldenPath(`hybrids/${name}/${file}`), 'utf8'))) ?? {};
}

/** A configuration without the file's own spelling. */
function meaning(json: unknown): unknown {
  return { ...parseModelConfig(json), json: undefined };
}

function refusal(json: unknown): ConfigError {
  try {
    parseModelConfig(json, 'x/config.json');
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

describe('configurations of hybrids', () => {
  for (const name of names) {
    it(`${name}: the older spelling has the same meaning`, () => {
      expect(meaning(read(name))).to.deep.equal(meaning(read(name, 'config_hub.json')));
    });

    it(`${name}: round trip`, () => {
      const json = read(name);
      const written = parseJson(stringifyJson(modelConfigToJson(parseModelConfig(json))));
      expect(meaning(written)).to.deep.equal(meaning(json));
    });
  }

  it('Nemotron-H is never tied, as in transformers', () => {
    const { tieWordEmbeddings } = parseModelConfig({
      ...read('nemotron-h'),
      tie_word_embeddings: true,
    });
    expect(tieWordEmbeddings).to.equal(false);
  });

  it('infinite time steps may have any spelling', () => {
    for (const infinite of [
      Number.POSITIVE_INFINITY,
      'Infinity',
      { __float__: 'Infinity' },
      null,
    ]) {
      const json = { ...read('bamba'), time_step_limit: [0.25, infinite] };
      expect(meaning(json)).to.deep.equal(
        meaning({ ...read('bamba'), time_step_limit: [0.25, Number.POSITIVE_INFINITY] }),
      );
    }
    const { key } = refusal({ ...read('bamba'), time_step_limit: [2, 1] });
    expect(key).to.equal('time_step_limit');
  });

  it('accepts old names of layers', () => {
    const json = read('granite-h-rope');
    const types = ['mamba', 'linear_attention', 'attention', 'mamba', 'mamba'];
    const { layer_types: _, ...rest } = json;
    for (const key of ['layer_types', 'layers_block_type']) {
      expect(meaning({ ...rest, [key]: types })).to.deep.equal(meaning(json));
    }
  });

  it('several tokens can end a sequence', () => {
    const config = parseModelConfig({ ...read('granite-h-rope'), eos_token_id: [2, 7, 2] });
    expect(config.eosTokenIds).to.deep.equal([2, 7]);
    expect(config.eosTokenId).to.equal(2);
    expect(modelConfigToJson(config).eos_token_id).to.deep.equal([2, 7]);
    expect(refusal({ ...read('bamba'), eos_token_id: [95] }).key).to.equal('eos_token_id');
  });

  it('rotary frequencies can be scaled', () => {
    const frequencies = (rope: object) => {
      const config = parseModelConfig({ ...read('falcon-h1'), rope_parameters: rope });
      const text = JSON.stringify(config);
      return JSON.parse(/"rotaryFrequencies":(\[[^\]]*\])/.exec(text)?.[1] ?? '[]');
    };
    const plain = frequencies({ rope_theta: 100, rope_type: 'default' });
    expect(plain).to.have.length(8);
    expect(plain[1]).to.be.closeTo(100 ** (-1 / 8), 1e-12);
    const linear = frequencies({ rope_theta: 100, rope_type: 'linear', factor: 4 });
    expect(linear[1]).to.be.closeTo(100 ** (-1 / 8) / 4, 1e-12);
    const half = frequencies({ rope_theta: 100, partial_rotary_factor: 0.5 });
    expect(half).to.have.length(4);
    const long = { factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
    const llama3 = frequencies({
      ...{ rope_theta: 100, rope_type: 'llama3', original_max_position_embeddings: 64 },
      ...long,
    });
    expect(llama3[0]).to.equal(1);
    expect(llama3[7]).to.be.closeTo(100 ** (-7 / 8) / 8, 1e-12);
    const { message } = refusal({ ...read('falcon-h1'), rope_parameters: { rope_type: 'yarn' } });
    expect(message).to.contain('rope_type').and.to.contain('"yarn"');
  });

  const refusals: [what: string, name: string, change: object, key: string][] = [
    ['experts of Granite', 'granite-h-rope', { num_local_experts: 8 }, 'num_local_experts'],
    ['experts by default', 'granite-h-rope', { num_local_experts: undefined }, 'num_local_experts'],
    [
      'experts of Nemotron-H',
      'nemotron-h',
      { layers_block_type: ['mamba', 'moe'] },
      'layers_block_type',
    ],
    [
      'experts in a pattern',
      'nemotron-h',
      { layers_block_type: null, hybrid_override_pattern: 'ME' },
      'hybrid_override_pattern',
    ],
    ['other activations', 'falcon-h1', { hidden_act: 'relu' }, 'hidden_act'],
    ['heads that do not divide', 'bamba', { num_key_value_heads: 3 }, 'num_key_value_heads'],
    ['groups that do not divide', 'mamba2-hf-bf16-tied-groups', { n_groups: 3 }, 'n_groups'],
    ['sizes that contradict', 'mamba2-hf-bf16-tied-groups', { num_heads: 7 }, 'num_heads'],
    ['a list of another length', 'granite-h-rope', { layer_types: ['mamba'] }, 'layer_types'],
    ['multipliers of another number', 'falcon-h1', { ssm_multipliers: [1, 2] }, 'ssm_multipliers'],
    ['a multiplier of 0', 'granite-h-rope', { residual_multiplier: 0 }, 'residual_multiplier'],
    ['layers that are not there', 'bamba', { attn_layer_indices: [4] }, 'attn_layer_indices'],
    ['other architectures', 'bamba', { model_type: 'llama' }, 'model_type'],
    ['strings for sizes', 'bamba', { hidden_size: '64' }, 'hidden_size'],
  ];
  for (const [what, name, change, key] of refusals) {
    it(`refuses ${what}`, () => {
      const error = refusal({ ...read(name), ...change });
      expect(error.key).to.equal(key);
      expect(error.message).to.match(/^x\/config\.json: /);
    });
  }

  it('refuses JSON that is no configuration of a model', () => {
    for (const json of [{ a: 1 }, {}, { dModel: 64 }, { name: 'my-package', version: '1.0.0' }]) {
      const error = refusal(json);
      expect(error.key).to.equal('config');
      expect(error.message).to.match(
        /^x\/config\.json: config: expected a model's configuration, with 'model_type' or with Rene's 'd_model', found \{/,
      );
    }
    for (const json of [{ d_model: 64 }, { n_layer: 2 }])
      expect(parseModelConfig(json)).to.be.an('object');
  });

  it('has the originals’ defaults', () => {
    const granite = parseModelConfig({ model_type: 'granitemoehybrid', num_local_experts: 0 });
    const shapes = new Map(blueprintOf(granite).tensors.map(({ name, shape }) => [name, shape]));
    expect(shapes.get('model.layers.31.mamba.in_proj.weight')).to.deep.equal([16_896 + 128, 4096]);
    expect(shapes.get('model.layers.0.shared_mlp.input_linear.weight')).to.deep.equal([2048, 4096]);
    expect(shapes.get('lm_head.weight')).to.deep.equal([32_000, 4096]);
    const { eosTokenIds, bosTokenId } = granite;
    expect({ eosTokenIds, bosTokenId }).to.deep.equal({ eosTokenIds: [2], bosTokenId: 1 });
    const falcon = parseModelConfig({ model_type: 'falcon_h1' });
    const falconShapes = new Map(
      blueprintOf(falcon).tensors.map(({ name, shape }) => [name, shape]),
    );
    expect(falconShapes.get('model.layers.0.mamba.A_log')).to.deep.equal([128]);
    expect(falconShapes.get('model.layers.0.mamba.out_proj.weight')).to.deep.equal([4096, 1024]);
    expect(falconShapes.get('model.layers.0.self_attn.k_proj.weight')).to.deep.equal([1024, 4096]);
    expect(falconShapes.has('model.layers.0.mamba.norm.weight')).to.equal(false);
  });
});
