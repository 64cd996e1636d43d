import { leavesNothing, loadGolden, rejection } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { reneConfig } from '../../src/config.js';
import { resolveOptions } from '../../src/generation/resolve_options.js';
import type { ReneLMHeadModel } from '../../src/rene_model.js';

const prompt = [3, 1, 4, 1, 5];
const long = { maxNewTokens: 8, eosTokenId: null };

describe('options of generate', () => {
  let model: ReneLMHeadModel;
  /** The tokens that greedy generation adds. */
  let plain: number[];
  before(async () => {
    model = await loadGolden('tiny-hybrid');
    plain = await newTokens(long);
  });
  after(() => model.dispose());

  async function newTokens(options: Parameters<typeof model.generate>[1]): Promise<number[]> {
    const { sequences } = await leavesNothing(() => model.generate(prompt, options));
    return sequences[0]?.slice(prompt.length) ?? [];
  }

  it('badWordsIds: ignores an end-of-text token alone, as in transformers', async () => {
    const [first = 0] = await newTokens({ maxNewTokens: 1, eosTokenId: null });
    const options = { maxNewTokens: 4, eosTokenId: first };
    expect(await newTokens({ ...options, badWordsIds: [[first]] })).to.deep.equal([first]);
    expect(
      await newTokens({ ...options, eosTokenId: [first, 1], badWordsIds: [[first], [1]] }),
    ).to.deep.equal([first]);
    expect(
      (await newTokens({ ...options, eosTokenId: 1, badWordsIds: [[first], [1]] }))[0],
    ).not.to.equal(first);
  });

  it('badWordsIds: keeps a longer sequence that begins with an end-of-text token', () => {
    const words = [[7], [7, 3], [3, 7], [3]];
    const config = reneConfig({ vocabSize: 16, padVocabSizeMultiple: 8, eosTokenId: 7 });
    expect(resolveOptions({ badWordsIds: words }, config).badWordsIds).to.deep.equal([
      ...[[7, 3], [3, 7], [3]],
    ]);
  });

  it('badWordsIds: excludes a token, and the last token of a sequence after the others', async () => {
    const [a = 0, b = 0, c = 0] = plain;
    expect(await newTokens({ ...long, badWordsIds: [[a]] })).not.to.include(a);
    const without = await newTokens({ ...long, badWordsIds: [[a, b, c]] });
    expect(without.slice(0, 2)).to.deep.equal([a, b]);
    expect(without[2]).not.to.equal(c);
    // Across the border of prompt and new tokens.
    expect((await newTokens({ ...long, badWordsIds: [[1, 5, a]] }))[0]).not.to.equal(a);
  });

  it('noRepeatNgramSize: no n-gram occurs twice, prompt included', async () => {
    // A model that always prefers the token after the last one, modulo 3.
    const cycle = (scores: Float64Array, sequence: readonly number[]) => {
      scores.forEach((score, id) => {
        if (score > Number.NEGATIVE_INFINITY) scores[id] = -id;
      });
      const next = ((sequence.at(-1) ?? 0) + 1) % 3;
      if ((scores[next] ?? 0) > Number.NEGATIVE_INFINITY) scores[next] = 1;
    };
    const generate = async (noRepeatNgramSize: number) => {
      const options = { ...long, logitsProcessor: cycle, noRepeatNgramSize };
      return (await model.generate([0, 1, 2], options)).sequences[0];
    };
    expect(await generate(0)).to.deep.equal([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]);
    expect(await generate(1)).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(await generate(2)).to.deep.equal([0, 1, 2, 0, 0, 2, 1, 0, 3, 1, 1]);
    expect((await generate(5))?.slice(0, 7)).to.deep.equal([0, 1, 2, 0, 1, 2, 0]);
    expect(await generate(100)).to.deep.equal(await generate(0));
  });

  it('logitBias: adds to logits, as an object or Map', async () => {
    expect(await newTokens({ ...long, logitBias: { 7: 1000 } })).to.deep.equal(Array(8).fill(7));
    const [first = 0] = plain;
    const ruledOut = new Map([[first, Number.NEGATIVE_INFINITY]]);
    expect(await newTokens({ ...long, logitBias: ruledOut })).not.to.include(first);
  });

  it('logitsProcessor: gets each sequence, changes the scores; several run in turn', async () => {
    const lengths: number[] = [];
    const processors = [
      (scores: Float64Array, sequence: readonly number[]) => {
        lengths.push(sequence.length);
        scores.fill(0);
      },
      (scores: Float64Array, sequence: readonly number[]) => {
        scores[(sequence.at(-1) ?? 0) + 1] = 1;
      },
    ];
    const found = await newTokens({ ...long, logitsProcessor: processors });
    expect(found).to.deep.equal([6, 7, 8, 9, 10, 11, 12, 13]);
    expect(lengths).to.deep.equal([5, 6, 7, 8, 9, 10, 11, 12]);
  });

  it('reports an error if no token is left', async () => {
    const logitsProcessor = (scores: Float64Array) => scores.fill(Number.NEGATIVE_INFINITY);
    for (const options of [{}, { temperature: 1 }]) {
      const error = await leavesNothing(() =>
        rejection(model.generate(prompt, { ...options, logitsProcessor })),
      );
      expect(error.name).to.equal('GenerationError');
      expect(error.message).to.contain('no token can be sampled');
    }
  });

  it("eosTokenId: defaults to the config's", async () => {
    const { eosTokenId, vocabSize } = model.config;
    expect(eosTokenId).to.equal(vocabSize - 1);
    const bias = { maxNewTokens: 3, logitBias: { [vocabSize - 1]: 1000 } };
    expect(await newTokens(bias)).to.deep.equal([eosTokenId]);
    expect(await newTokens({ ...bias, eosTokenId: null })).to.have.length(3);
  });

  it('minNewTokens: excludes the end of text for that many tokens', async () => {
    const [first = 0] = plain;
    const ended = await model.generate(prompt, { ...long, eosTokenId: first });
    expect(ended.sequences[0]).to.deep.equal([...prompt, first]);
    const options = { ...long, eosTokenId: first, minNewTokens: 4 };
    const later = await newTokens(options);
    expect(later.slice(0, 4)).not.to.include(first);
    expect(later.length).to.be.greaterThan(4);
    // Exactly that many, for a model that always prefers to end.
    const eager = { ...options, logitBias: { [first]: 1000 } };
    expect((await newTokens(eager)).indexOf(first)).to.equal(4);
  });

  it('logProbs: of the model, independent of the sampling options', async () => {
    const options = { ...long, temperature: 3, seed: 5, logProbs: 3 };
    const { sequences, logProbs } = await leavesNothing(() => model.generate(prompt, options));
    const [sequence = []] = sequences;
    const values = tf.tidy(() => {
      const logits = model.forward([sequence]);
      const { vocabSize } = model.config;
      const real = tf.slice(logits, [0, 0, 0], [1, sequence.length, vocabSize]);
      return tf.log(tf.softmax(tf.reshape<tf.Rank.R2>(real, [-1, vocabSize]))).arraySync();
    });
    expect(logProbs?.[0]).to.have.length(8);
    logProbs?.[0]?.forEach(({ id, logProb, top }, i) => {
      const expected = values[prompt.length - 1 + i] ?? [];
      expect(id).to.equal(sequence[prompt.length + i]);
      expect(logProb).to.be.closeTo(expected[id] ?? 0, 1e-4);
      const sorted = [...expected.entries()].sort((a, b) => b[1] - a[1]).slice(0, 3);
      expect(top.map((entry) => entry.id)).to.deep.equal(sorted.map(([other]) => other));
      top.forEach((entry, k) => {
        expect(entry.logProb).to.be.closeTo(sorted[k]?.[1] ?? 0, 1e-4);
      });
    });
    const chosenOnly = await model.generate(prompt, { ...long, logProbs: 0 });
    expect(chosenOnly.logProbs?.[0]?.[0]?.top).to.deep.equal([]);
  });

  it('repetitionPenalty: includes the prompt', async () => {
    const found = await newTokens({ ...long, repetitionPenalty: 1e6 });
    expect(new Set([...prompt, ...found]).size).to.equal(new Set(prompt).size + found.length);
  });
});

describe('states in generation', () => {
  let model: ReneLMHeadModel;
  before(async () => {
    model = await loadGolden('tiny-hybrid');
  });
  after(() => model.dispose());

  it('prefill once allows many continuations, and does not change the state', async () => {
    await leavesNothing(async () => {
      const state = await model.prefill(prompt);
      expect(state.positions).to.deep.equal([prompt.length]);
      const whole = await model.generate([...prompt, 9, 2], long);
      for (let i = 0; i < 2; i++) {
        const { sequences } = await model.generate([9, 2], { ...long, state });
        expect(sequences[0]).to.deep.equal(whole.sequences[0]?.slice(prompt.length));
      }
      expect(state.positions).to.deep.equal([prompt.length]);
      // One state for several prompts, and across chunks of a prompt.
      const both = await model.generate([[9, 2], [8]], { ...long, state });
      expect(both.sequences[0]).to.deep.equal(whole.sequences[0]?.slice(prompt.length));
      const further = await model.prefill([9], { state });
      const last = await model.generate([2], { ...long, state: further });
      expect(last.sequences[0]).to.deep.equal(whole.sequences[0]?.slice(prompt.length + 1));
      state.dispose();
      further.dispose();
    });
  });

  it('prefill reports progress', async () => {
    const seen: number[][] = [];
    const state = await model.prefill([prompt, [7]], {
      onProgress: ({ promptTokens, promptLength }) => seen.push([promptTokens, promptLength]),
    });
    state.dispose();
    expect(seen).to.deep.equal([
      [5, 6],
      [6, 6],
    ]);
  });

  it('prefills prompts of different lengths into one state, one row per prompt', async () => {
    await leavesNothing(async () => {
      const state = await model.prefill([prompt, [7]]);
      expect(state.positions).to.deep.equal([5, 1]);
      const { sequences } = await model.generate([[9, 2], [3]], { ...long, state });
      const alone = await model.generate([7, 3], long);
      expect(sequences[1]).to.deep.equal(alone.sequences[0]?.slice(1));
      state.dispose();
    });
  });

  it('returnState: the state to continue from, also if rows end at different times', async () => {
    await leavesNothing(async () => {
      const prompts = [prompt, [7, 7]];
      const whole = await model.generate(prompts, { eosTokenId: null, maxLength: 16 });
      const options = { eosTokenId: null, maxLength: 9, returnState: true };
      const part = await model.generate(prompts, options);
      expect(part.state?.positions).to.deep.equal([8, 8]);
      const rest = await model.generate(
        part.sequences.map((sequence) => sequence.slice(-1)),
        { eosTokenId: null, maxLength: 8, state: part.state },
      );
      expect(
        part.sequences.map((s, i) => [...s, ...(rest.sequences[i]?.slice(1) ?? [])]),
      ).to.deep.equal(whole.sequences);
      part.state?.dispose();
      const ended = await model.generate(prompts, {
        ...options,
        maxLength: undefined,
        maxNewTokens: 3,
      });
      expect(ended.state?.positions).to.deep.equal([7, 4]);
      ended.state?.dispose();
    });
  });

  it('refuses states that do not fit', async () => {
    const state = await model.prefill([[1], [2]]);
    const error = await rejection(model.generate([[1], [2], [3]], { state }));
    expect(error.message).to.contain('state: expected a state of 3 rows');
    state.dispose();
    const used = await leavesNothing(() => rejection(model.generate([1, 2], { state })));
    expect(used.message).to.contain('state: expected a state of 1 rows');
    const one = await model.prefill([1]);
    one.dispose();
    const disposed = await leavesNothing(() => rejection(model.generate([1, 2], { state: one })));
    expect(disposed.message).to.contain('disposed');
  });
});
