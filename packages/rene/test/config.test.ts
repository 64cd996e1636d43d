// The configuration: defaults, both file formats, round trips, and refusals.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { readConfig } from '../src/checkpoint/read_config.js';
import {
  layerKinds,
  parseConfig,
  type ReneConfig,
  reneConfig,
  reneConfig1_3B,
} from '../src/config.js';
import { configToJson } from '../src/config_json.js';
import { ConfigError } from '../src/errors.js';
import { parseJson, stringifyJson } from '../src/json.js';

const GOLDENS = new URL('../../../../goldens/', import.meta.url);
const MODELS = ['tiny-bf16', 'tiny-gqa', 'tiny-hybrid', 'tiny-mamba2', 'tiny-options'];

function golden(path: string): unknown {
  return JSON.parse(readFileSync(new URL(path, GOLDENS), 'utf8'));
}

describe('config', () => {
  it('reads sizes and options of a hybrid model', () => {
    const config = parseConfig(golden('tiny-gqa/config.json'));
    expect(config).to.deep.include({ dModel: 48, nLayer: 6, vocabSize: 77, paddedVocabSize: 80 });
    expect(config.ssm).to.deep.include({ dInner: 96, dSsm: 96, nGroups: 2, normBeforeGate: true });
    expect(config.attn).to.deep.include({ numHeads: 6, numHeadsKv: 2, slidingWindowLength: 5 });
    expect(config.mlp).to.deep.equal({
      dInner: 96,
      bias: true,
      gated: false,
      norm: false,
      activation: 'gelu',
    });
    expect(layerKinds(config)).to.deep.equal(['ssd', 'attn', 'ssd', 'mlp', 'ssd', 'attn']);
  });

  it("reads state-spaces' mamba2 format as the same model", () => {
    const rene = parseConfig(golden('tiny-mamba2/config.json'));
    const mamba = parseConfig(golden('tiny-mamba2/config_state_spaces.json'));
    expect(mamba).to.deep.equal({ ...rene, eosTokenId: 0, eosTokenIds: [0] });
    expect(parseConfig({ fused_add_norm: true, ssm_cfg: { layer: 'Mamba2' } })).to.deep.include({
      dModel: 2560,
      nLayer: 64,
      vocabSize: 50277,
      padVocabSizeMultiple: 8,
      paddedVocabSize: 50280,
    });
  });

  it('has the defaults of the original classes', () => {
    const config = parseConfig({ model_type: 'rene' });
    expect(config).to.deep.include({
      dModel: 2048,
      nLayer: 48,
      vocabSize: 50280,
      eosTokenId: 50279,
    });
    expect(config.ssm).to.deep.equal({
      dState: 128,
      dConv: 4,
      expand: 2,
      headDim: 64,
      dSsm: 4096,
      dInner: 4096,
      nGroups: 1,
      chunkSize: 256,
      bias: false,
      convBias: true,
      rmsNorm: true,
      normBeforeGate: false,
      dHasHdim: false,
      dtLimit: [0, Number.POSITIVE_INFINITY],
      dtMin: 0.001,
      dtMax: 0.1,
      dtInitFloor: 1e-4,
      aInitRange: [1, 16],
    });
    expect(config.attn).to.equal(null);
  });

  it('has the configuration of the 1.3 B model', () => {
    const kinds = layerKinds(reneConfig1_3B);
    const count = (kind: string) => kinds.filter((k) => k === kind).length;
    expect([count('ssd'), count('mlp'), count('attn')]).to.deep.equal([28, 16, 4]);
    expect(reneConfig1_3B.attnLayerIdx).to.deep.equal([6, 18, 30, 42]);
    expect(reneConfig1_3B.paddedVocabSize).to.equal(50288);
  });

  it('rounds the MLP width as Python does', () => {
    const width = (expand: number, dModel: number) =>
      reneConfig({ dModel, ssm: { headDim: 1 }, mlpLayerIdx: [0], mlp: { expand } }).mlp?.dInner;
    expect([width(2.5, 1), width(3.5, 1), width(2.5, 3), width(1.5, 48)]).to.deep.equal([
      2, 4, 8, 72,
    ]);
  });

  it('survives being written and read again', () => {
    for (const name of MODELS) {
      const config = parseConfig(golden(`${name}/config.json`));
      expect(reread(config), name).to.deep.equal(config);
    }
    fc.assert(
      fc.property(configs, (config) => {
        expect(reread(config)).to.deep.equal(config);
      }),
    );
  });

  it('accepts every spelling of infinity in dt_limit', () => {
    for (const high of ['Infinity', '1e999', '"inf"', '1.7976931348623157e308', 'null']) {
      const json = parseJson(`{"model_type": "rene", "ssm_cfg": {"dt_limit": [0.5, ${high}]}}`);
      expect(parseConfig(json).ssm.dtLimit, high).to.deep.equal([0.5, Number.POSITIVE_INFINITY]);
    }
    expect(parseJson('\ufeff{"a": 1}')).to.deep.equal({ a: 1 });
    expect(parseJson('{"a": "Infinity \\" NaN", "b": -Infinity}')).to.deep.equal({
      a: 'Infinity " NaN',
      b: Number.NEGATIVE_INFINITY,
    });

    it('refuses unterminated strings in linear time', () => {
      const start = performance.now();
      expect(() => parseJson(`[Infinity, ${'"\\'.repeat(200_000)}`)).to.throw(SyntaxError);
      expect(performance.now() - start).to.be.below(5000); // quadratic scanning would take minutes
    });
  });

  it('writes only keys that the original class accepts, for the original architecture', () => {
    const config = parseConfig(golden('tiny-options/config.json'));
    const json = configToJson(config);
    expect(json).to.deep.include({ model_type: 'rene', d_model: 48, attn_layer_idx: [2] });
    expect(json.mlp_cfg).to.deep.equal({ expand: 1.5, bias: false });
    expect(json).not.to.have.any.keys('norm_epsilon', 'lm_head_bias');
  });

  describe('refuses by name', () => {
    const ssm = (values: object) => ({ ssm_cfg: values });
    const attn = (values: object) => ({
      attn_layer_idx: [0],
      attn_cfg: { num_heads: 4, ...values },
    });
    const cases: [json: unknown, key: string, message: RegExp][] = [
      [[], 'config', /an object/],
      [{ model_type: 'llama' }, 'model_type', /'rene'.*llama/],
      [{ d_model: '64' }, 'd_model', /whole number.*"64"/],
      [{ d_model: 0 }, 'd_model', /from 1/],
      [{ n_layer: 1e9 }, 'n_layer', /to 10000/],
      [{ vocab_size: 10.5 }, 'vocab_size', /whole number/],
      [{ rms_norm: 1 }, 'rms_norm', /true or false/],
      [{ eos_token_id: 50280 }, 'eos_token_id', /below vocab_size/],
      [{ d_intermediate: 64 }, 'd_intermediate', /0/],
      [ssm({ layer: 'Mamba1' }), 'ssm_cfg.layer', /'Mamba2'.*Mamba1/],
      [{ tie_embeddings: true, ssm_cfg: {} }, 'ssm_cfg.layer', /Mamba1/],
      [ssm({ headdim: 48 }), 'ssm_cfg.headdim', /divisor of d_ssm \(4096\)/],
      [ssm({ ngroups: 3 }), 'ssm_cfg.ngroups', /divisor of the 64 heads/],
      [ssm({ d_ssm: 8192 }), 'ssm_cfg.d_ssm', /to 4096/],
      [ssm({ expand: 1.0001 }), 'ssm_cfg.expand', /d_model/],
      [ssm({ d_inner: 8 }), 'ssm_cfg.d_inner', /4096/],
      [ssm({ dt_limit: [1, 0.5] }), 'ssm_cfg.dt_limit', /in order/],
      [ssm({ dt_limit: [-1, 1] }), 'ssm_cfg.dt_limit', /0 or more/],
      [ssm({ A_init_range: [0, 1] }), 'ssm_cfg.A_init_range', /above 0/],
      [ssm({ heddim: 64 }), 'ssm_cfg.heddim', /one of d_state/],
      [{ ssm_cfg: 3 }, 'ssm_cfg', /an object/],
      [{ attn_layer_idx: [48] }, 'attn_layer_idx', /0 to 47.*48/],
      [{ attn_layer_idx: [1, 1] }, 'attn_layer_idx', /1 twice/],
      [{ attn_layer_idx: [3], mlp_layer_idx: [3] }, 'mlp_layer_idx', /attn_layer_idx.*3/],
      [{ attn_layer_idx: [0] }, 'attn_cfg.num_heads', /found nothing/],
      [attn({ num_heads_kv: 3 }), 'attn_cfg.num_heads_kv', /divisor of the 4 heads/],
      [attn({ num_heads: 5 }), 'attn_cfg.num_heads', /divisor of d_model/],
      [attn({ causal: false }), 'attn_cfg.causal', /true/],
      [attn({ rotary_emb_dim: 32 }), 'attn_cfg.rotary_emb_dim', /not supported/],
      [attn({ sliding_window_length: 0 }), 'attn_cfg.sliding_window_length', /from 1/],
      [{ mlp_layer_idx: [0], mlp_cfg: { expand: -1 } }, 'mlp_cfg.expand', /above 0/],
      [{ mlp_layer_idx: [0], mlp_cfg: { activation: 'relu' } }, 'mlp_cfg.activation', /'gelu'/],
    ];
    for (const [json, key, message] of cases) {
      it(JSON.stringify(json), () => {
        const error = thrownBy(() => parseConfig(json, 'x/config.json'));
        expect(error.key).to.equal(key);
        expect(error.message)
          .to.match(message)
          .and.to.match(/^x\/config\.json: /);
      });
    }

    it('names fields as in reneConfig', () => {
      expect(thrownBy(() => reneConfig({ ssm: { headDim: 48 } })).key).to.equal('ssm.headDim');
      expect(thrownBy(() => reneConfig({ nLayer: 0 })).key).to.equal('nLayer');
    });

    it('a folder without a config.json', async () => {
      const error = await readConfig('/nowhere').catch((e: unknown) => e);
      expect(error)
        .to.be.an('error')
        .with.property('message')
        .that.matches(/config\.json: no such/);
    });
  });

  it('throws only ConfigError, for any JSON', () => {
    const seeds = MODELS.map((name) => golden(`${name}/config.json`));
    const json = fc.oneof(fc.jsonValue(), fc.constantFrom(...seeds).chain(mutated));
    fc.assert(fc.property(json, onlyConfigErrors), { numRuns: 500 });
  });
});

function reread(config: ReneConfig): ReneConfig {
  return parseConfig(parseJson(stringifyJson(configToJson(config))));
}

function thrownBy(run: () => unknown): ConfigError {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('expected a ConfigError, found none');
}

function onlyConfigErrors(json: unknown): void {
  try {
    layerKinds(parseConfig(json));
  } catch (error) {
    expect(error).to.be.instanceOf(ConfigError);
  }
}

/** The object with one of its values, at any depth, replaced by anything. */
function mutated(json: unknown): fc.Arbitrary<unknown> {
  const text = JSON.stringify(json);
  const values = [...text.matchAll(/(?<=:)(?:-?\d[\d.]*|true|false|null|\[[^\]]*\])/g)];
  const value = fc.oneof(fc.jsonValue(), fc.integer(), fc.double(), fc.constant(1e308));
  return fc.tuple(fc.nat(values.length - 1), value).map(([i, replacement]) => {
    const at = values[i]?.index ?? 0;
    const length = values[i]?.[0].length ?? 0;
    const put = JSON.stringify(replacement) ?? 'null';
    return JSON.parse(text.slice(0, at) + put + text.slice(at + length));
  });
}

/** Valid configurations of all kinds. */
const configs: fc.Arbitrary<ReneConfig> = fc
  .record({
    nLayer: fc.integer({ min: 2, max: 9 }),
    headDim: fc.constantFrom(4, 8),
    groups: fc.constantFrom(1, 2),
    expand: fc.constantFrom(1, 1.5, 2, 2.5),
    dtLimit: fc.constantFrom<[number, number]>(
      [0, Number.POSITIVE_INFINITY],
      [0.25, Number.POSITIVE_INFINITY],
      [0, 2],
    ),
    flags: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean(), fc.boolean()),
    window: fc.option(fc.integer({ min: 1, max: 100 })),
    mlpWidth: fc.integer({ min: 1, max: 500 }),
    vocabSize: fc.integer({ min: 10, max: 1000 }),
    normEps: fc.constantFrom(1e-5, 1e-6),
    eosTokenId: fc.constantFrom(null, 3),
  })
  .map(({ nLayer, headDim, groups, expand, dtLimit, flags: [a, b, c, d], ...rest }) =>
    reneConfig({
      dModel: 32,
      nLayer,
      vocabSize: rest.vocabSize,
      ssm: { headDim, nGroups: groups, expand, dtLimit, bias: a, rmsNorm: b, dHasHdim: c },
      attnLayerIdx: [0],
      attn: { numHeads: 4, numHeadsKv: groups, slidingWindowLength: rest.window, qkvProjBias: d },
      mlpLayerIdx: a ? [1] : [],
      mlp: { dInner: rest.mlpWidth, gated: b, norm: c, activation: d ? 'gelu' : 'silu' },
      normEps: rest.normEps,
      tieWordEmbeddings: c,
      lmHeadBias: d,
      eosTokenId: rest.eosTokenId,
    }),
  );

describe('JSON nested a million deep', () => {
  const text = `${'['.repeat(1e6)}${']'.repeat(1e6)}`;

  it('is refused by key in config.json, at any position', () => {
    const list = parseJson(text);
    const object = parseJson(`${'{"a":'.repeat(1e6)}1${'}'.repeat(1e6)}`);
    expect(() => parseConfig(list)).to.throw(ConfigError, 'deeply nested lists');
    const keys = ['d_model', 'model_type', 'eos_token_id', 'ssm_cfg', 'attn_layer_idx', 'rms_norm'];
    for (const deep of [list, object]) {
      for (const key of keys) {
        expect(() => parseConfig({ [key]: deep }), key).to.throw(ConfigError, key);
      }
      const inner = { ssm_cfg: { d_state: deep, dt_limit: [deep, 1] } };
      expect(() => parseConfig(inner)).to.throw(ConfigError, 'ssm_cfg.');
      // Unknown top-level keys are ignored.
      expect(parseConfig({ x: deep }).dModel).to.equal(2048);
    }
  });

  it('is refused together with NaN, which JSON.parse does not accept', () => {
    const json = parseJson(`{"norm_epsilon": NaN, "d_model": ${text}}`);
    expect(() => parseConfig(json)).to.throw(ConfigError, 'd_model');
  });
});
