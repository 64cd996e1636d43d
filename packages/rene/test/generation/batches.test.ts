import { fileURLToPath } from 'node:url';
import { goldenPath, leavesNothing } from '@rene-js/testing';
import { expect } from 'chai';
import seedrandom from 'seedrandom';
import type { GenerateResult } from '../../src/generation/generate.js';
import type { GenerateOptions } from '../../src/generation/options.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import type { RecurrentState } from '../../src/state.js';
import { Tokenizer } from '../../src/tokenizer.js';

const tiny = fileURLToPath(new URL('../../../models/rene-tiny', import.meta.url));

/** RENE_TEST_BATCHES=200 runs that many batches of rene-tiny on each backend; on cpu that takes hours. */
const asked = process.env.RENE_TEST_BATCHES;

interface RandomBatch {
  prompts: number[][];
  /** Tokens that the prompts' state has seen: per prompt, for all of them, or none. */
  before: number[][];
  options: GenerateOptions;
}

/** 1 to 6 prompts of 1 to 40 tokens with any options, determined by a seed. */
function randomBatch(seed: number, vocabSize: number, tokenizer: Tokenizer | null): RandomBatch {
  const random = seedrandom(String(seed));
  const from = (low: number, high: number) => low + Math.floor(random() * (high - low + 1));
  const maybe = <T>(value: T) => (random() < 0.5 ? value : undefined);
  const seldom = <T>(value: T) => (random() < 0.2 ? value : undefined);
  const tokens = (longest: number) =>
    Array.from({ length: from(1, longest) }, () => from(0, vocabSize - 1));
  const prompts = Array.from({ length: from(1, 6) }, () => tokens(40));
  const longest = Math.max(...prompts.map(({ length }) => length));
  const options: GenerateOptions = {
    maxNewTokens: from(1, 12),
    maxLength: seldom(longest + from(1, 6)),
    repetitionPenalty: maybe(1 + random()),
    noRepeatNgramSize: seldom(from(1, 3)),
    // Some eos tokens are a quarter of all ids, so that rows end at different times.
    eosTokenId: Array.from({ length: vocabSize }, (_, id) => id).filter(() => random() < 0.25),
    minNewTokens: maybe(from(0, 4)),
    badWordsIds: maybe([[from(0, vocabSize - 1)]]),
    logitBias: maybe({ [from(0, vocabSize - 1)]: random() * 4 }),
    logitsProcessor: seldom((scores, sequence) => {
      const id = ((sequence.at(-1) ?? 0) * 31 + sequence.length) % vocabSize;
      scores[id] = (scores[id] ?? 0) + 3;
    }),
  };
  const unusual = random();
  if (unusual < 0.2) Object.assign(options, randomBeams(random, from, maybe));
  else {
    Object.assign(options, randomSampling(seed, random, from, maybe));
    options.logProbs = maybe(from(0, 3));
    options.returnState = maybe(true);
    if (tokenizer && unusual < 0.6) {
      options.tokenizer = tokenizer;
      options.stopStrings = [' the', 'e', 'in', '. ', 'a\n'].filter(() => random() < 0.4);
    }
  }
  const rows = [0, 0, 1, prompts.length][from(0, 3)];
  return { prompts, before: Array.from({ length: rows ?? 0 }, () => tokens(20)), options };
}

type From = (low: number, high: number) => number;
type Maybe = <T>(value: T) => T | undefined;

function randomBeams(random: () => number, from: From, maybe: Maybe): GenerateOptions {
  const numBeams = from(2, 4);
  return {
    numBeams,
    numReturnSequences: maybe(from(1, numBeams)),
    lengthPenalty: maybe(random() * 3 - 1),
    earlyStopping: ([false, true, 'never'] as const)[from(0, 2)],
  };
}

/** One in about 30 batches is greedy. */
function randomSampling(
  seed: number,
  random: () => number,
  from: From,
  maybe: Maybe,
): GenerateOptions {
  const options: GenerateOptions = {
    temperature: maybe(random() * 2),
    topK: maybe(from(0, 50)),
    topP: maybe(random()),
    minP: maybe(random() * 0.2),
    seed: maybe(seed),
  };
  if (Object.values(options).every((option) => option === undefined)) return options;
  // Sampling must be reproducible.
  options.seed ??= seed;
  if ((options.temperature ?? 1) > 0 && options.topK !== 1) {
    options.numReturnSequences = maybe(from(2, 3));
  }
  return options;
}

/** The continuation of each row's state: its next two tokens and their log-probabilities. */
async function continuations(
  model: ReneLMHeadModel,
  { sequences, state }: Pick<GenerateResult, 'sequences' | 'state'>,
) {
  const last = sequences.map((sequence) => sequence.slice(-1));
  const options = { state, maxNewTokens: 2, logProbs: 3, eosTokenId: null };
  const { logProbs } = await model.generate(last, options);
  return { logProbs, positions: state?.positions };
}

/** Generates each prompt alone. */
async function oneByOne(
  model: ReneLMHeadModel,
  prompts: readonly number[][],
  state: RecurrentState | undefined,
  options: GenerateOptions,
): Promise<GenerateResult[]> {
  const results: GenerateResult[] = [];
  for (const [i, prompt] of prompts.entries()) {
    const own = state?.gather([state.batch > 1 ? i : 0]);
    results.push(await model.generate(prompt, { ...options, state: own }));
    own?.dispose();
  }
  return results;
}

async function expectEqualAlone(
  model: ReneLMHeadModel,
  { prompts, before, options }: RandomBatch,
): Promise<void> {
  const state = before.length > 0 ? await model.prefill(before) : undefined;
  const together = await model.generate(prompts, { ...options, state });
  const alone = await oneByOne(model, prompts, state, options);
  const parts = ['sequences', 'finishReasons', 'promptLengths', 'scores', 'logProbs'] as const;
  for (const part of parts) {
    const expected = together[part] && alone.flatMap<unknown>((result) => result[part] ?? []);
    expect(together[part], part).to.deep.equal(expected);
  }
  if (together.state) {
    const all = await continuations(model, together);
    const each: Awaited<ReturnType<typeof continuations>>[] = [];
    for (const result of alone) each.push(await continuations(model, result));
    expect(all.positions).to.deep.equal(each.flatMap(({ positions }) => positions ?? []));
    expect(all.logProbs).to.deep.equal(each.flatMap((one) => one.logProbs ?? []));
  }
  for (const result of [{ state }, together, ...alone]) result.state?.dispose();
}

for (const [name, dir, backend, batches] of [
  ['a golden model', goldenPath('tiny-gqa'), 'cpu', 4],
  ['rene-tiny', tiny, 'simd', Number(asked ?? 15)],
  ['rene-tiny', tiny, 'cpu', Number(asked ?? 0)],
] as const) {
  describe(`random batches of ${name} on ${backend}`, () => {
    let model: ReneLMHeadModel;
    let tokenizer: Tokenizer | null = null;
    before(async () => {
      model = await ReneLMHeadModel.fromPretrained(dir, { backend });
      if (dir === tiny) tokenizer = await Tokenizer.fromPretrained(dir);
    });
    after(() => model.dispose());

    for (let i = 0; i < batches; i++) {
      it(`batch ${i} is bitwise identical to its single runs`, async () => {
        const batch = randomBatch(i, model.config.vocabSize, tokenizer);
        await leavesNothing(() => expectEqualAlone(model, batch));
      }).timeout(600_000);
    }
  });
}
