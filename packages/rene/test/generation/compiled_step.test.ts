// The compiled decode step on `simd` and on `cuda` gives the same tokens as the model's forward.
import { AttentionState, BackendError, useBackend } from '@rene-js/layers';
import { cudaInfo } from '@rene-js/layers/cuda';
import { simdInfo } from '@rene-js/layers/simd';
import {
  canTestCuda,
  goldenPath,
  leavesNothing,
  registerTestCuda,
  rejection,
} from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { AutoModelForCausalLM } from '../../src/auto_model.js';
import type { GenerateOptions } from '../../src/generation/options.js';
import type { CausalLM } from '../../src/model.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import type { RecurrentState } from '../../src/state.js';

const prompts = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11, 12], [13]];
const renes = ['tiny-hybrid', 'tiny-gqa', 'tiny-mamba2'];
const hybrids = ['granite-h-rope', 'falcon-h1-norm-tied', 'nemotron-h'].map(
  (name) => `hybrids/${name}`,
);
const greedy = { random: 0, temperature: 0, topK: 0, topP: 1, minP: 0 };

compiledSteps('simd', () => simdInfo().usedBytes);
(canTestCuda ? describe : describe.skip)('CUDA', () => {
  before(registerTestCuda);
  compiledSteps('cuda', () => cudaInfo().usedBytes);
});

function compiledSteps(backend: 'simd' | 'cuda', usedBytes: () => number): void {
  describe(`compiled steps on ${backend}`, () => {
    const load = (name: string, dtype: 'f32' | 'bf16' | 'int8' | 'int4' = 'f32') =>
      AutoModelForCausalLM.fromPretrained(goldenPath(name), { backend, dtype });

    /** The same generation with and without the compiled step. */
    async function both(model: CausalLM, options: GenerateOptions, ids = prompts) {
      const plain = {
        config: model.config,
        forward: model.forward.bind(model),
        initialState: model.initialState.bind(model),
      };
      const { generate } = await import('../../src/generation/generate.js');
      const run = (of: typeof plain) =>
        leavesNothing(async () => {
          const { state, ...result } = await generate(of, ids, options);
          const positions = state?.positions;
          state?.dispose();
          return { ...result, positions };
        });
      return { compiled: await run(model), forward: await run(plain) };
    }

    for (const name of [...renes, ...hybrids]) {
      it(`${name} gives the same continuation, greedy, sampled, and with host-side options`, async () => {
        const model = await load(name);
        const endings = Array.from({ length: 20 }, (_, i) => 4 * i);
        const few = backend === 'cuda' ? 3 : 6; // the emulated device takes 0.1 s a token
        const all: GenerateOptions[] = [
          { maxNewTokens: few, eosTokenId: null },
          { maxNewTokens: few, eosTokenId: null, topK: 12, topP: 0.8, minP: 0.01, seed: 'a' },
          {
            maxNewTokens: 2 * few,
            eosTokenId: endings,
            temperature: 1.3,
            seed: 5,
            returnState: true,
          },
          { maxNewTokens: few, eosTokenId: endings, repetitionPenalty: 1.4, returnState: true },
          {
            ...{ maxNewTokens: few, numReturnSequences: 2 },
            ...{ temperature: 1, seed: 3, eosTokenId: endings },
          },
        ];
        for (const options of all.slice(0, name === 'tiny-gqa' ? all.length : 2)) {
          const { compiled, forward } = await both(model, options);
          expect(compiled).to.deep.equal(forward);
        }
        const before = usedBytes();
        await model.generate(prompts, { maxNewTokens: 2 });
        expect(usedBytes(), 'memory given back').to.equal(before);
        model.dispose();
      });
    }

    it('continues from the state that it returns', async () => {
      const model = await load('tiny-hybrid', 'bf16');
      const whole = await model.generate([1, 2, 3], { maxNewTokens: 24, eosTokenId: null });
      const first = await model.generate([1, 2, 3], {
        maxNewTokens: 10,
        eosTokenId: null,
        returnState: true,
      });
      const [sequence = []] = first.sequences;
      const state = first.state as RecurrentState;
      const more = await model.generate([sequence.at(-1) ?? 0], {
        maxNewTokens: 14,
        eosTokenId: null,
        state,
      });
      state.dispose();
      expect([...sequence, ...(more.sequences[0]?.slice(1) ?? [])]).to.deep.equal(
        whole.sequences[0],
      );
      model.dispose();
    });

    it('uses the expected number of kernels', async () => {
      const model = await load('tiny-hybrid');
      const step = model.compileStep(2);
      const state = model.initialState(2);
      if (!step) throw new Error('no step');
      const [mamba2, attention, mlp] = [3, 1, 2]; // blocks
      for (const row of [0, 1]) {
        step.join(state.layers, row, 0);
        // cuda: norms are fused into matmuls; embedding, head and sampling at the ends.
        // simd: a norm per block; conv, gated scan and norm, or cache and attention, between two matmuls.
        const expected = {
          cuda: 3 * mamba2 + 3 * attention + 2 * mlp + 3,
          simd: 6 * mamba2 + 5 * attention + 3 * mlp + 3,
        };
        expect(step.kernels()).to.equal(expected[backend]);
      }
      step.dispose();
      state.dispose();
      model.dispose();
    });

    it("a row's logits are bitwise identical while others join and leave", async () => {
      for (const dtype of ['f32', 'int8', 'int4'] as const) {
        const model = await load('tiny-gqa', dtype);
        const states = await Promise.all(prompts.map((prompt) => model.prefill(prompt)));
        const join = (step: ReturnType<typeof compiled>, i: number) => {
          const state = states[i];
          if (state) step.join(state.layers, 0, state.positions[0] ?? 0);
        };
        const compiled = () => {
          const step = model.compileStep(3);
          if (!step) throw new Error('no step');
          return step;
        };
        const alone = compiled();
        join(alone, 1);
        const expected: number[][] = [];
        for (let t = 0; t < 8; t++) expected.push([...((await alone.logits([t]))[0] ?? [])]);
        alone.dispose();

        const step = compiled();
        const found: (Float32Array | undefined)[] = [];
        const keep = (logits: Float32Array | undefined) => found.push(logits?.slice());
        join(step, 0);
        join(step, 1);
        keep((await step.logits([9, 0]))[1]);
        join(step, 2);
        keep((await step.logits([8, 1, 7]))[1]);
        step.leave(0); // the last row moves to the free slot
        keep((await step.logits([5, 2]))[1]);
        const [chosen = -1] = (await step.sample?.([5, 3], [greedy, greedy])) ?? [5];
        if (!step.sample) await step.logits([5, 3]);
        expect(chosen).to.be.within(0, model.config.vocabSize - 1);
        keep((await step.logits([chosen, 4]))[1]);
        step.leave(0);
        for (const t of [5, 6, 7]) keep((await step.logits([t]))[0]);
        step.dispose();
        const untold = expected.filter((_, t) => t !== 3);
        expect(found.map((logits) => [...(logits ?? [])])).to.deep.equal(untold);
        for (const state of states) state.dispose();
        model.dispose();
      }
    });

    it('many rows equal the forward', async () => {
      const model = await load('tiny-hybrid', 'bf16');
      const many = Array.from({ length: 11 }, (_, i) => [i + 1, 2 * i, 5]);
      const state = await model.prefill(many);
      const step = model.compileStep(many.length);
      if (!step) throw new Error('no step');
      state.positions.forEach((position, row) => {
        step.join(state.layers, row, position);
      });
      const tokens = many.map((_, i) => 3 * i);
      const logits = await step.logits(tokens);
      const forward = tf.tidy(() =>
        model.forward(
          tokens.map((id) => [id]),
          { state },
        ),
      );
      const expected = await forward.data<'float32'>();
      const largest = expected.reduce((top, v) => Math.max(top, Math.abs(v)), 0);
      const flat = logits.flatMap((row) => [...row]);
      const worst = Math.max(...flat.map((v, i) => Math.abs(v - (expected[i] ?? Number.NaN))));
      expect(worst / largest).to.be.below(1e-2);
      tf.dispose(forward);
      step.dispose();
      state.dispose();
      model.dispose();
    });

    it('grows the caches of attention without a window', async () => {
      const source = await ReneLMHeadModel.fromPretrained(goldenPath('tiny-hybrid'), { backend });
      const { attn } = source.config;
      if (!attn) throw new Error('no attention');
      const config = { ...source.config, attn: { ...attn, slidingWindowLength: null } };
      const model = await ReneLMHeadModel.fromConfig(config, { seed: 'caches', backend });
      source.dispose();
      // A state after 1,022 tokens with random keys and values.
      const state = model.initialState(1);
      const seen = 1022;
      const layers = state.layers.map((layer) => {
        if (!(layer instanceof AttentionState)) return layer;
        const [, , heads = 0, dim = 0] = layer.k.shape;
        const cache = () => tf.randomNormal([1, seen, heads, dim], 0, 1, 'float32', 7);
        layer.replace(cache(), cache(), [seen]);
        return layer;
      });
      const grown = state.with(layers, [seen]);
      const step = model.compileStep(1);
      if (!step) throw new Error('no step');
      step.join(layers, 0, seen);
      for (let t = 0; t < 5; t++) {
        const [logits = new Float32Array()] = await step.logits([t]);
        const forward = model.forward([[t]], { state: grown });
        const expected = await forward.data();
        forward.dispose();
        logits.forEach((v, i) => {
          expect(v).to.be.closeTo(expected[i] ?? Number.NaN, 1e-4);
        });
      }
      step.dispose();
      grown.dispose();
      model.dispose();
    });

    it('generation continues without it if its states do not fit in memory', async () => {
      const model = await load('tiny-hybrid');
      const expected = await model.generate(prompts, { maxNewTokens: 5, eosTokenId: null });
      let asked = 0;
      const crowded = {
        config: model.config,
        forward: model.forward.bind(model),
        initialState: model.initialState.bind(model),
        compileStep: () => {
          asked++;
          throw new BackendError('full');
        },
      };
      const { generate } = await import('../../src/generation/generate.js');
      const found = await leavesNothing(() =>
        generate(crowded, prompts, { maxNewTokens: 5, eosTokenId: null }),
      );
      expect(found.sequences).to.deep.equal(expected.sequences);
      expect(asked).to.equal(1);
      model.dispose();
    });

    it('reports invalid arguments and damaged states', async () => {
      const model = await load('tiny-hybrid');
      const step = model.compileStep(1);
      if (!step) throw new Error('no step');
      const state = model.initialState(1);
      expect((await rejection(step.logits([1]))).message).to.include('expected some');
      step.join(state.layers, 0, 0);
      expect(() => step.join(state.layers, 0, 0)).to.throw('its batch size is 1');
      expect(() => step.leave(1)).to.throw('row: expected one below 1, found 1');
      step.dispose();
      state.dispose();
      model.dispose();
      await useBackend('cpu');
      const elsewhere = await ReneLMHeadModel.fromPretrained(goldenPath('tiny-hybrid'), {
        backend: 'cpu',
      });
      expect(elsewhere.compileStep()).to.equal(undefined);
      elsewhere.dispose();
    });
  });
}
