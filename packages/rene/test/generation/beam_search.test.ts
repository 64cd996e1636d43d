import { readFileSync } from 'node:fs';
import { Mamba2State, useBackend } from '@rene-js/layers';
import { leavesNothing, loadGolden, rejection, testBackend } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { reneConfig } from '../../src/config.js';
import { GenerationAbortedError } from '../../src/generation/abort.js';
import { beamSearch } from '../../src/generation/beam_search.js';
import { generate } from '../../src/generation/generate.js';
import type { GenerationModel } from '../../src/generation/generation_model.js';
import { type GenerationProgress, Progress } from '../../src/generation/progress.js';
import { resolveOptions } from '../../src/generation/resolve_options.js';
import type { ReneLMHeadModel } from '../../src/rene_model.js';
import { RecurrentState } from '../../src/state.js';

interface BeamFile {
  eos: number;
  /** Logits of the next token as a function of the two previous tokens. */
  table: number[][][];
  cases: {
    prompt: number[];
    options: {
      num_beams: number;
      max_length: number;
      length_penalty: number;
      early_stopping: boolean | 'never';
      num_return_sequences: number;
      repetition_penalty?: number;
      bad_words_ids?: number[][];
      min_new_tokens?: number;
    };
    sequences: number[][];
    scores: number[];
  }[];
}

// Written by beam_search_reference.py, which runs transformers. Sources are not in dist.
const file: BeamFile = JSON.parse(
  readFileSync(new URL('../../../test/generation/beam_search.json', import.meta.url), 'utf8'),
);

/** The model keeps the token before the last one in its state only, so states must follow their beams. */
function tableModel({ table }: BeamFile): GenerationModel {
  const vocabSize = table.length;
  const stateOf = (tokens: number[]) =>
    new Mamba2State(tf.tensor2d(tokens, [tokens.length, 1]), tf.zeros([tokens.length, 1]));
  return {
    config: reneConfig({ vocabSize, padVocabSizeMultiple: 1, nLayer: 1, eosTokenId: null }),
    initialState: (batch) =>
      new RecurrentState([stateOf(Array(batch).fill(0))], Array(batch).fill(0)),
    forward(rows, { state }) {
      const [layer] = state.layers;
      if (!(layer instanceof Mamba2State)) throw new Error('no state');
      const before = [...layer.conv.dataSync()];
      const logits = rows.map((row, i) => {
        const last = row.at(-1) ?? 0;
        return table[row.at(-2) ?? before[i] ?? 0]?.[last] ?? [];
      });
      const next = stateOf(rows.map((row) => row.at(-1) ?? 0));
      layer.replace(next.conv, next.ssm);
      state.advance(rows[0]?.length ?? 0);
      return tf.tensor3d(logits.map((row) => [row]));
    },
  };
}

describe('beam search', () => {
  const model = tableModel(file);
  before(() => useBackend(testBackend));
  file.cases.forEach(({ prompt, options, sequences, scores }, i) => {
    it(`case ${i}: returns transformers' sequences and scores for ${JSON.stringify(options)}`, async () => {
      const found = await leavesNothing(() =>
        generate(model, prompt, {
          numBeams: options.num_beams,
          maxLength: options.max_length,
          lengthPenalty: options.length_penalty,
          earlyStopping: options.early_stopping,
          numReturnSequences: options.num_return_sequences,
          repetitionPenalty: options.repetition_penalty,
          badWordsIds: options.bad_words_ids,
          minNewTokens: options.min_new_tokens,
          eosTokenId: file.eos,
        }),
      );
      expect(found.sequences).to.deep.equal(sequences);
      found.scores?.forEach((score, k) => {
        expect(score).to.be.closeTo(scores[k] ?? 0, 1e-4);
      });
    });
  });
});

describe("earlyStopping 'never'", () => {
  const [a, end, start] = [0, 2, 3];
  /**
   * Probabilities of a, b and the end given the last two tokens, as names; the same for all other contexts.
   */
  const modelOf = (by: Record<string, number[]>, others: number[]) => {
    const names = 'abes';
    const table = [...names].map((before) =>
      [...names].map((last) => [...(by[before + last] ?? others), 1e-9].map(Math.log)),
    );
    return tableModel({ eos: end, table, cases: [] });
  };
  before(() => useBackend(testBackend));

  it('continues while a long sequence can become the best', async () => {
    // Short sequences end early. One that continues has one improbable token and then probable ones.
    const short = [0.01, 0.01, 0.98];
    const model = modelOf({ as: [0.4, 0.3, 0.3], sa: short, sb: short }, [0.985, 0.01, 0.005]);
    const options = { numBeams: 2, maxLength: 12, lengthPenalty: 2, eosTokenId: end };
    const usual = await leavesNothing(() => generate(model, [start], options));
    expect(usual.sequences).to.deep.equal([[start, a, end]]);
    const found = await leavesNothing(() =>
      generate(model, [start], { ...options, earlyStopping: 'never' }),
    );
    expect(found.sequences).to.deep.equal([[start, ...Array<number>(11).fill(a)]]);
    expect(found.scores?.[0]).to.be.above(usual.scores?.[0] ?? 0);
  });

  it('with a length penalty, continues while the next token can improve the score', async () => {
    const even = [0.34, 0.33, 0.33];
    const by = { as: [0.6, 0.1, 0.3], sa: [0.85, 0.02, 0.13], sb: even, aa: [0.05, 0.05, 0.9] };
    const model = modelOf(by, even);
    const found = await leavesNothing(() =>
      generate(model, [start], {
        ...{ numBeams: 2, numReturnSequences: 2, maxLength: 12, eosTokenId: end },
        ...{ lengthPenalty: -1, earlyStopping: 'never' },
      }),
    );
    expect(found.sequences).to.deep.equal([
      [start, end],
      [start, a, a, end],
    ]);
  });
});

describe('beam search of a real model', () => {
  let model: ReneLMHeadModel;
  const prompts = [
    [3, 1, 4, 1, 5],
    [9, 2],
  ];
  before(async () => {
    model = await loadGolden('tiny-hybrid');
  });
  after(() => model.dispose());

  it('with one beam equals greedy decoding', async () => {
    const options = { maxNewTokens: 8, eosTokenId: null };
    const greedy = await model.generate(prompts[0] ?? [], options);
    const settings = resolveOptions(options, model.config);
    const progress = new Progress(0, () => [], {});
    const [best] = await leavesNothing(() =>
      beamSearch(model, prompts[0] ?? [], undefined, settings, progress),
    );
    expect(best?.sequence).to.deep.equal(greedy.sequences[0]);
  });

  it("scores are the model's log-probabilities, prompts are independent, and results are no worse than greedy", async () => {
    const options = { maxNewTokens: 6, eosTokenId: null, numBeams: 3, numReturnSequences: 2 };
    const { sequences, scores, promptLengths } = await leavesNothing(() =>
      model.generate(prompts, options),
    );
    expect(promptLengths).to.deep.equal([5, 5, 2, 2]);
    const logProb = (sequence: readonly number[], start: number) =>
      tf.tidy(() => {
        const { vocabSize } = model.config;
        const logits = tf.slice(
          model.forward([[...sequence]]),
          [0, 0, 0],
          [1, sequence.length, vocabSize],
        );
        const table = tf
          .log(tf.softmax(tf.reshape<tf.Rank.R2>(logits, [-1, vocabSize])))
          .arraySync();
        const own = sequence.map((id, i) => (i < start ? 0 : (table[i - 1]?.[id] ?? 0)));
        return own.reduce((sum, value) => sum + value, 0);
      });
    sequences.forEach((sequence, i) => {
      expect(scores?.[i]).to.be.closeTo(logProb(sequence, promptLengths[i] ?? 0) / 6, 1e-5);
    });
    const alone = await model.generate(prompts[1] ?? [], options);
    expect(alone.sequences).to.deep.equal(sequences.slice(2));
    const greedy = await model.generate(prompts[0] ?? [], { maxNewTokens: 6, eosTokenId: null });
    const greedyScore = logProb(greedy.sequences[0] ?? [], 5) / 6;
    expect(scores?.[0]).to.be.at.least(greedyScore - 1e-6);
  });

  it('continues from a state, and frees everything when aborted', async () => {
    const options = { maxNewTokens: 4, eosTokenId: null, numBeams: 2 };
    const [first = []] = prompts;
    const whole = await model.generate(first, options);
    await leavesNothing(async () => {
      const state = await model.prefill(first.slice(0, 3));
      const rest = await model.generate(first.slice(3), { ...options, state });
      expect(rest.sequences[0]).to.deep.equal(whole.sequences[0]?.slice(3));
      state.dispose();
      const controller = new AbortController();
      const onProgress = ({ newTokens }: GenerationProgress) =>
        newTokens === 2 && controller.abort();
      const { signal } = controller;
      const error = await rejection(model.generate(prompts, { ...options, signal, onProgress }));
      if (!(error instanceof GenerationAbortedError)) throw error;
      expect(error.sequences).to.have.length(1);
      expect(error.sequences[0]?.slice(0, first.length)).to.deep.equal(first);
      expect(error.sequences[0]).to.have.length(first.length + 2);
    });
  });

  it('reports an error if no token is left, and ends with fewer beams if few are left', async () => {
    const none = (scores: Float64Array) => scores.fill(Number.NEGATIVE_INFINITY);
    const error = await leavesNothing(() =>
      rejection(model.generate([1], { numBeams: 2, logitsProcessor: none })),
    );
    expect(error.message).to.contain('no token can be sampled');
    const one = (scores: Float64Array) => scores.fill(Number.NEGATIVE_INFINITY).fill(0, 7, 8);
    const options = { numBeams: 3, numReturnSequences: 3, maxNewTokens: 3, logitsProcessor: one };
    const { sequences } = await leavesNothing(() => model.generate([1], options));
    expect(sequences).to.deep.equal([[1, 7, 7, 7]]);
  });

  it('refuses options that beam search does not support', async () => {
    for (const [options, message] of [
      [{ numBeams: 2, temperature: 1 }, 'numBeams: expected 1 together with a sampling option'],
      [{ numBeams: 2, logProbs: 1 }, 'numBeams: expected 1 together with logProbs'],
      [{ numBeams: 2, numReturnSequences: 3 }, 'numReturnSequences: expected numBeams or fewer'],
    ] as const) {
      expect((await rejection(model.generate([1], options))).message).to.contain(message);
    }
  });
});
