// verify() passes on shapes that the goldens do not have, with the default tolerances. The reference model
// writes the folders from random weights and the configurations below.
import { join } from 'node:path';
import {
  backends,
  type FolderOptions,
  makeGoldenFolder,
  startBackend,
  temporaryFolders,
} from '@rene-js/testing';
import { expect } from 'chai';
import fc from 'fast-check';
import { defaultTolerances, passed } from '../../src/verify/check.js';
import { verify } from '../../src/verify/verify.js';

type Config = Record<string, unknown>;

const small: Config = {
  model_type: 'rene',
  d_model: 16,
  n_layer: 3,
  vocab_size: 45,
  pad_vocab_size_multiple: 16,
  eos_token_id: 44,
  ssm_cfg: { headdim: 8, d_state: 8 },
  attn_layer_idx: [2],
  attn_cfg: { num_heads: 4, head_dim: 4, sliding_window_length: 6 },
  mlp_layer_idx: [1],
  mlp_cfg: {},
};

const cases: Record<string, Omit<FolderOptions, 'seed' | 'config'> & { config: Config }> = {
  'two rows of 131 tokens, window one less, four groups, dt limits, expand 2.5, MQA': {
    batch: 2,
    length: 131,
    generate: false,
    config: {
      n_layer: 2,
      attn_layer_idx: [1],
      mlp_layer_idx: [],
      ssm_cfg: { headdim: 5, d_state: 6, ngroups: 4, expand: 2.5, dt_limit: [0.05, 0.5] },
      attn_cfg: { num_heads: 4, num_heads_kv: 1, head_dim: 4, sliding_window_length: 130 },
    },
  },
  'a window as long as the prompt of two tokens': {
    batch: 1,
    length: 2,
    config: { attn_cfg: { num_heads: 2, head_dim: 6, sliding_window_length: 2 } },
  },
  'a window of one token, a prompt of two, a convolution wider than it': {
    batch: 2,
    length: 2,
    config: {
      ssm_cfg: { headdim: 8, d_state: 8, d_conv: 5, bias: true },
      attn_cfg: { num_heads: 4, num_heads_kv: 2, head_dim: 4, sliding_window_length: 1 },
    },
  },
  'a token more than a chunk, a part of the channels plain, no norm, D by channel, untied head': {
    batch: 2,
    length: 65,
    generate: false,
    config: {
      ssm_cfg: {
        ...{ headdim: 4, d_state: 7, d_ssm: 24, ngroups: 2, bias: true },
        ...{ rmsnorm: false, D_has_hdim: true },
      },
      attn_cfg: { num_heads: 4, head_dim: 4, sliding_window_length: 65, qkv_proj_bias: true },
      tie_word_embeddings: false,
    },
  },
  'two chunks, no window, LayerNorm, norm before gate, gated MLP with norm, narrow convolution': {
    batch: 1,
    length: 128,
    generate: false,
    config: {
      ssm_cfg: { headdim: 8, d_state: 8, d_conv: 2, ngroups: 2, norm_before_gate: true },
      attn_cfg: { num_heads: 4, head_dim: 4, out_proj_bias: true, softmax_scale: 0.7 },
      mlp_cfg: { gated: true, norm: true, expand: 1.5, bias: false },
      rms_norm: false,
      norm_epsilon: 1e-6,
      residual_in_fp32: false,
    },
  },
  'dt limits that always bite, in decoding too; a plain part and groups with norm before gate': {
    batch: 3,
    length: 33,
    config: {
      ssm_cfg: {
        headdim: 4,
        d_state: 8,
        d_ssm: 16,
        ngroups: 4,
        d_conv: 3,
        norm_before_gate: true,
        dt_limit: [0.2, 0.25],
        conv_bias: false,
      },
      attn_cfg: { num_heads: 3, head_dim: 5, sliding_window_length: 33 },
      mlp_cfg: { gated: true, activation: 'gelu' },
    },
  },
  'attention alone': {
    batch: 2,
    length: 70,
    generate: false,
    config: {
      n_layer: 2,
      attn_layer_idx: [0, 1],
      mlp_layer_idx: [],
      attn_cfg: { num_heads: 4, num_heads_kv: 2, head_dim: 4, sliding_window_length: 40 },
    },
  },
};

describe('verify on other shapes', () => {
  const folder = temporaryFolders();

  for (const [title, { config, ...options }] of Object.entries(cases)) {
    it(title, async () => {
      const dir = folder();
      await makeGoldenFolder(dir, { ...options, config: { ...small, ...config }, seed: title });
      await expectVerified(dir, options.generate === false ? 7 : 8);
    });
  }

  it('any combination of options', async () => {
    const dir = folder();
    let made = 0;
    const property = fc.asyncProperty(arbitraryFolder(), async (options) => {
      const one = join(dir, String(made++));
      await makeGoldenFolder(one, options);
      await expectVerified(one, options.generate ? 8 : 7);
    });
    // RENE_TEST_SEED=2 draws other folders.
    const seed = Number(process.env.RENE_TEST_SEED ?? 1);
    await fc.assert(property, { seed, numRuns: 8, endOnFailure: true });
  });

  for (const [title, config] of Object.entries(gradientConfigs())) {
    it(`gradients: ${title}`, async () => {
      const dir = folder();
      const options = { batch: 2, length: 6, seed: title, gradients: true };
      await makeGoldenFolder(dir, { ...options, config });
      await expectVerified(dir, 9);
    });
  }
});

/** All checks of the folder pass on every backend, and their number is as expected. */
async function expectVerified(dir: string, least: number): Promise<void> {
  const options = { tolerances: defaultTolerances, relative: false };
  for (const backend of backends) {
    await startBackend(backend);
    let checks = 0;
    for await (const check of verify(dir, options, { backend })) {
      checks++;
      const text = `${check.name} on ${backend}: ${check.error}, ${check.detail}`;
      expect(passed(check), text).to.equal(true);
    }
    expect(checks).to.be.at.least(least);
  }
}

function arbitraryFolder(): fc.Arbitrary<FolderOptions> {
  const ssm = fc.record({
    headdim: fc.constantFrom(2, 4),
    d_state: fc.integer({ min: 1, max: 9 }),
    ngroups: fc.constantFrom(1, 2, 4),
    d_conv: fc.integer({ min: 2, max: 4 }),
    expand: fc.constantFrom(2, 2.5, 3),
    d_ssm: fc.constantFrom(16, 32),
    bias: fc.boolean(),
    conv_bias: fc.boolean(),
    rmsnorm: fc.boolean(),
    norm_before_gate: fc.boolean(),
    D_has_hdim: fc.boolean(),
    dt_limit: fc.constantFrom([0, Number.POSITIVE_INFINITY], [0.1, 0.3], [0, 0.2], [0.4, 0.4]),
  });
  const heads = fc.constantFrom([4, 4], [4, 2], [4, 1], [3, 1], [6, 3]);
  const attn = fc
    .record({ heads, head_dim: fc.integer({ min: 1, max: 6 }), biased: fc.boolean() })
    .map(({ heads: [num_heads, num_heads_kv], head_dim, biased }) => ({
      ...{ num_heads, num_heads_kv, head_dim },
      ...{ qkv_proj_bias: biased, out_proj_bias: !biased },
    }));
  const mlp = fc.record({
    gated: fc.boolean(),
    norm: fc.boolean(),
    bias: fc.boolean(),
    expand: fc.constantFrom(1.5, 2, 3),
  });
  return fc
    .record({
      batch: fc.integer({ min: 1, max: 3 }),
      length: fc.integer({ min: 2, max: 24 }),
      /** Difference from the prompt's length, in tokens; null for no window. */
      short: fc.constantFrom(0, 1, 5, -3, null),
      ssm,
      attn,
      mlp,
      rms: fc.boolean(),
      tied: fc.boolean(),
      seed: fc.nat().map(String),
      // Generation is the slowest part.
      generate: fc.boolean(),
    })
    .map(({ batch, length, generate, short, ssm, attn, mlp, rms, tied, seed }) => {
      const window = short === null ? null : Math.max(1, length - short);
      const config = {
        ...small,
        ssm_cfg: ssm,
        attn_cfg: { ...attn, sliding_window_length: window },
        // Neither original has a norm without a gate.
        mlp_cfg: { ...mlp, norm: mlp.norm && mlp.gated },
        rms_norm: rms,
        tie_word_embeddings: tied,
      };
      return { batch, length, generate, seed, config };
    });
}

/** Small enough that each weight can be changed separately. */
function gradientConfigs(): Record<string, Config> {
  const least = {
    ...small,
    d_model: 4,
    n_layer: 3,
    vocab_size: 8,
    pad_vocab_size_multiple: 4,
    eos_token_id: 7,
    attn_cfg: { num_heads: 2, num_heads_kv: 1, head_dim: 2, sliding_window_length: 3 },
  };
  return {
    'dt limits, groups, D by channel, a plain part, biases, untied head': {
      ...least,
      ssm_cfg: {
        ...{ headdim: 2, d_state: 3, ngroups: 2, expand: 2.5, d_ssm: 8, chunk_size: 4, bias: true },
        ...{ D_has_hdim: true, dt_limit: [0.1, 0.6], norm_before_gate: true },
      },
      attn_cfg: { ...least.attn_cfg, qkv_proj_bias: true, out_proj_bias: true },
      mlp_cfg: { gated: true, norm: true },
      tie_word_embeddings: false,
    },
    'no inner norm, no window, LayerNorm, no convolution bias': {
      ...least,
      ssm_cfg: {
        headdim: 4,
        d_state: 2,
        d_conv: 2,
        rmsnorm: false,
        conv_bias: false,
        chunk_size: 3,
      },
      attn_cfg: { num_heads: 2, head_dim: 3, softmax_scale: 0.9 },
      rms_norm: false,
    },
  };
}
