import {
  goldenModels,
  leavesNothing,
  loadGolden,
  readGoldenJson,
  rejection,
} from '@rene-js/testing';
import { expect } from 'chai';
import * as fc from 'fast-check';
import seedrandom from 'seedrandom';
import { GenerationAbortedError } from '../../src/generation/abort.js';
import type { GenerateOptions } from '../../src/generation/options.js';
import { generateReference, type ReferenceGenerateArgs } from '../../src/generation/reference.js';
import { argmax, TokenDistribution } from '../../src/generation/token_distribution.js';
import type { ReneLMHeadModel } from '../../src/rene_model.js';

interface GenerateFile {
  prompt: number[][];
  cases: { rows: number; args: ReferenceGenerateArgs; sequences: number[][] }[];
}

describe('generateReference', () => {
  for (const name of goldenModels) {
    it(`returns the original's ids: ${name}`, async () => {
      const { prompt, cases } = readGoldenJson<GenerateFile>(`${name}/generate.json`);
      const model = await loadGolden(name);
      for (const { rows, args, sequences } of cases) {
        const found = await leavesNothing(() =>
          generateReference(model, prompt.slice(0, rows), args),
        );
        expect(found, JSON.stringify(args)).to.deep.equal(sequences);
      }
      model.dispose();
    });
  }
});

describe('generate', () => {
  let model: ReneLMHeadModel;
  let file: GenerateFile;
  before(async () => {
    // The golden whose greedy ids are all below vocabSize, so that the reference's ids equal ours.
    model = await loadGolden('tiny-mamba2');
    file = readGoldenJson('tiny-mamba2/generate.json');
  });
  after(() => model.dispose());

  it('is greedy without sampling options, and for temperature 0 and topK 1', async () => {
    const [expected] = file.cases;
    const greedy = { maxLength: 45, eosTokenId: null };
    for (const options of [
      greedy,
      { ...greedy, temperature: 0 },
      { ...greedy, topK: 1, topP: 0.5 },
    ]) {
      const { sequences, seed } = await leavesNothing(() => model.generate(file.prompt, options));
      expect(sequences).to.deep.equal(expected?.sequences);
      expect(seed).to.equal(undefined);
    }
  });

  it('ends each row at its own eos, and pads only if requested', async () => {
    const options = { maxLength: 45, eosTokenId: [24, 80] };
    const { sequences, finishReasons, promptLengths } = await leavesNothing(() =>
      model.generate(file.prompt, options),
    );
    const [first = [], second = []] = file.cases[0]?.sequences ?? [];
    expect(sequences).to.deep.equal([first.slice(0, 28), second]);
    expect(finishReasons).to.deep.equal(['eos', 'length']);
    expect(promptLengths).to.deep.equal([21, 21]);
    const other = await model.generate(file.prompt, { ...options, eosTokenId: [80, 24] });
    expect(other.sequences).to.deep.equal(sequences);
    const padded = await model.generate(file.prompt, { ...options, padTokenId: 3 });
    expect(padded.sequences).to.deep.equal([
      [...first.slice(0, 28), ...Array<number>(17).fill(3)],
      second,
    ]);
  });

  it('samples sequence k of a prompt with its own generator', async () => {
    const prompt = file.prompt[0] ?? [];
    const options = { temperature: 0.9, topK: 20, topP: 0.95, seed: 'a seed', maxNewTokens: 6 };
    const { sequences, seed } = await leavesNothing(() =>
      model.generate(prompt, { ...options, eosTokenId: null, numReturnSequences: 3 }),
    );
    expect(seed).to.equal('a seed');
    for (const [k, found] of sequences.entries()) {
      const random = seedrandom(`a seed:${k}`);
      const expected = [...prompt];
      while (expected.length < found.length) {
        const logits = model.forward([expected], { logitsToKeep: 1 });
        const filters = { temperature: 0.9, topK: 20, topP: 0.95, minP: 0 };
        const distribution = new TokenDistribution(model.config.vocabSize);
        distribution.setProbabilities(logits.dataSync(), filters);
        logits.dispose();
        expected.push(distribution.draw(random()));
      }
      expect(found).to.deep.equal(expected);
    }
    expect(new Set(sequences.map(String)).size).to.equal(3);
  });

  it('returns the seed that it drew, which gives the same tokens again', async () => {
    const prompt = file.prompt[0] ?? [];
    const first = await model.generate(prompt, { temperature: 2, maxNewTokens: 5 });
    const again = await model.generate(prompt, {
      temperature: 2,
      maxNewTokens: 5,
      seed: first.seed,
    });
    expect(again.sequences).to.deep.equal(first.sequences);
    const other = await model.generate(prompt, { temperature: 2, maxNewTokens: 5 });
    expect(other.sequences).not.to.deep.equal(first.sequences);
  });

  it('never samples a padding id', async () => {
    const { vocabSize, paddedVocabSize } = model.config;
    expect(paddedVocabSize).to.be.greaterThan(vocabSize);
    const { sequences } = await model.generate([1], {
      temperature: 1e6,
      seed: 1,
      maxNewTokens: 60,
      eosTokenId: null,
    });
    expect(Math.max(...(sequences[0] ?? []))).to.be.lessThan(vocabSize);
  });

  it('prefills prompts longer than a chunk of 512 tokens, and lets other work run', async () => {
    const prompt = Array.from({ length: 520 }, (_, i) => (i * 7) % 90);
    const parts: number[] = [];
    let turns = 0;
    const other = () => {
      turns++;
      if (turns < 1000) next = setImmediate(other);
    };
    let next = setImmediate(other);
    const found = await leavesNothing(() =>
      model.generate(prompt, {
        maxNewTokens: 3,
        eosTokenId: null,
        onProgress({ promptTokens, promptLength }) {
          parts.push(promptTokens);
          expect(promptLength).to.equal(520);
        },
      }),
    );
    clearImmediate(next);
    // Two chunks of the prompt and three tokens.
    expect(turns).to.be.greaterThan(3);
    expect(parts).to.deep.equal([512, 520, 520, 520, 520]);
    // From a state, chunks end at the same positions as without one.
    const state = await model.prefill(prompt.slice(0, 500));
    parts.length = 0;
    const rest = await model.generate(prompt.slice(500), {
      maxNewTokens: 3,
      eosTokenId: null,
      state,
      onProgress: ({ promptTokens }) => parts.push(promptTokens),
    });
    state.dispose();
    expect(parts).to.deep.equal([12, 20, 20, 20, 20]);
    expect(rest.sequences[0]?.slice(20)).to.deep.equal(found.sequences[0]?.slice(520));
    const logits = model.forward([prompt], { logitsToKeep: 1 });
    const whole = argmax(logits.dataSync(), model.config.vocabSize);
    logits.dispose();
    expect(found.sequences[0]?.[520]).to.equal(whole);
  });

  it('keeps the tokens so far when aborted, between tokens and between chunks of a prompt', async () => {
    const controller = new AbortController();
    const error = await leavesNothing(() =>
      rejection(
        model.generate(file.prompt, {
          maxNewTokens: 50,
          eosTokenId: null,
          signal: controller.signal,
          onProgress: ({ newTokens }) => newTokens === 4 && controller.abort(new Error('enough')),
        }),
      ),
    );
    if (!(error instanceof GenerationAbortedError)) throw error;
    expect(error.name).to.equal('AbortError');
    expect(error.cause).to.be.instanceOf(Error).with.property('message', 'enough');
    expect(error.sequences).to.deep.equal(
      file.cases[0]?.sequences.map((sequence) => sequence.slice(0, 25)),
    );
    const long = Array<number>(2000).fill(1);
    let parts = 0;
    const early = new AbortController();
    const onProgress = () => {
      parts++;
      early.abort();
    };
    await leavesNothing(() =>
      rejection(model.generate(long, { maxNewTokens: 1, signal: early.signal, onProgress })),
    );
    expect(parts).to.equal(1);
    await leavesNothing(() => rejection(model.generate([1], { signal: AbortSignal.abort() })));
  });

  it('leaks nothing if a callback throws', async () => {
    const thrower = () => {
      throw new Error('mine');
    };
    for (const options of [{ onProgress: thrower }, { logitsProcessor: thrower }]) {
      const error = await leavesNothing(() => rejection(model.generate(file.prompt, options)));
      expect(error.message).to.equal('mine');
    }
  });

  it('leaks nothing wherever it is aborted', async () => {
    const given = await model.prefill([4, 5]);
    const anyOptions = fc.record(
      {
        numBeams: fc.constantFrom(1, 1, 3),
        temperature: fc.constantFrom(undefined, 1.3),
        numReturnSequences: fc.constantFrom(1, 2),
        returnState: fc.constantFrom(undefined, true),
        state: fc.constantFrom(undefined, given),
        eosTokenId: fc.constantFrom(null, [5, 15, 25, 35, 45, 55, 65, 75]),
      },
      { requiredKeys: ['eosTokenId'] },
    );
    const anyPrompts = fc.array(fc.array(fc.nat(89), { minLength: 1, maxLength: 6 }), {
      minLength: 1,
      maxLength: 3,
    });
    const anyEnd = fc.constantFrom('abort', 'throw');
    let ended = 0;
    await fc.assert(
      fc.asyncProperty(
        anyOptions,
        anyPrompts,
        fc.nat(9),
        anyEnd,
        async (options, prompts, at, end) => {
          const controller = new AbortController();
          let calls = 0;
          const onProgress = () => {
            if (calls++ !== at) return;
            if (end === 'throw') throw new Error('mine');
            controller.abort();
          };
          await leavesNothing(async () => {
            const all = { ...options, seed: undefined, maxNewTokens: 6, onProgress };
            try {
              const found = await model.generate(prompts, { ...all, signal: controller.signal });
              found.state?.dispose();
            } catch {
              ended++; // or refused: mutually exclusive options
            }
          });
        },
      ),
      { numRuns: 80 },
    );
    expect(ended).to.be.greaterThan(20);
    given.dispose();
  });

  const wrong: [GenerateOptions, string][] = [
    [{ temperature: -1 }, 'temperature: expected a finite number, 0 or more, found -1'],
    [{ temperature: Number.NaN }, 'temperature: expected a finite number, 0 or more, found NaN'],
    [{ topP: 1.5 }, 'topP: expected a number from 0 to 1, found 1.5'],
    [{ minP: -0.1 }, 'minP: expected a number from 0 to 1'],
    [{ topK: 1.5 }, 'topK: expected a whole number, 0 or more, found 1.5'],
    [{ maxNewTokens: 0 }, 'maxNewTokens: expected a whole number, 1 or more, found 0'],
    [{ maxLength: 20 }, 'maxLength: expected more than the 21 tokens of the prompt'],
    [{ repetitionPenalty: 0 }, 'repetitionPenalty: expected'],
    [{ eosTokenId: 1e9 }, 'eosTokenId: expected a whole number, 0 to'],
    [{ numReturnSequences: 2 }, 'numReturnSequences: expected 1 for greedy'],
    [{ stopStrings: 'x' }, 'tokenizer: expected a tokenizer, which stopStrings need'],
    [{ logitBias: { 5000: 1 } }, 'logitBias: expected a whole number, 0 to'],
    [{ badWordsIds: [[]] }, 'badWordsIds: expected lists of token ids'],
    [{ logProbs: -1 }, 'logProbs: expected'],
    [JSON.parse('{"top_k": 5}'), 'options: expected topK, found top_k'],
  ];
  for (const [options, message] of wrong) {
    it(`refuses ${JSON.stringify(options)}`, async () => {
      const error = await leavesNothing(() => rejection(model.generate(file.prompt, options)));
      expect(error.name).to.equal('InvalidArgumentError');
      expect(error.message).to.contain(message);
    });
  }

  const wrongIds: [number[] | number[][], string][] = [
    [[], 'ids: expected at least one token, found an empty prompt'],
    [[[1], []], 'ids[1]: expected at least one token'],
    [[-1], 'ids: expected token ids below'],
    [[1.5], 'ids: expected token ids below'],
    [[[1], [100000]], 'ids[1]: expected token ids below'],
  ];
  for (const [ids, message] of wrongIds) {
    it(`refuses the prompt ${JSON.stringify(ids)}`, async () => {
      const error = await leavesNothing(() => rejection(model.generate(ids)));
      expect(error.message).to.contain(message);
    });
  }
});

describe('stream', () => {
  let model: ReneLMHeadModel;
  const prompt = [3, 1, 4, 1, 5];
  before(async () => {
    model = await loadGolden('tiny-hybrid');
  });
  after(() => model.dispose());

  it('yields the new tokens of generate, and returns its result', async () => {
    const options = { temperature: 1.2, seed: 7, maxNewTokens: 12, eosTokenId: null };
    const expected = await model.generate(prompt, options);
    await leavesNothing(async () => {
      const tokens = model.stream(prompt, options);
      const found: number[] = [];
      let next = await tokens.next();
      for (; !next.done; next = await tokens.next()) found.push(next.value);
      expect([...prompt, ...found]).to.deep.equal(expected.sequences[0]);
      expect(next.value).to.deep.equal(expected);
    });
  });

  it('frees everything if its reader leaves or never starts, or if two streams alternate', async () => {
    await leavesNothing(async () => {
      for await (const _ of model.stream(prompt, { maxNewTokens: 50 })) break;
      model.stream(prompt);
      const a = model.stream(prompt, { maxNewTokens: 6, eosTokenId: null });
      const b = model.stream([9, 9], { maxNewTokens: 6, eosTokenId: null });
      for (let i = 0; i < 3; i++) {
        await a.next();
        await b.next();
      }
      const expected = await model.generate(prompt, { maxNewTokens: 4, eosTokenId: null });
      expect((await a.next()).value).to.equal(expected.sequences[0]?.at(-1));
      for await (const _ of a);
      for await (const _ of b);
    });
  });

  it('refuses invalid arguments at once', () => {
    expect(() => model.stream(prompt, JSON.parse('{"logProbs": null}'))).to.throw(
      'an option of generate',
    );
    expect(() => model.stream([])).to.throw('ids: expected at least one token');
    expect(() => model.stream(prompt, JSON.parse('{"numReturnSequences": 2}'))).to.throw(
      'options: expected options of stream (numReturnSequences is an option of generate)',
    );
  });
});
