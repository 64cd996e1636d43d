import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import seedrandom from 'seedrandom';
import type { GenerateOptions } from '../../src/generation/options.js';
import { ReneLMHeadModel } from '../../src/model.js';
import { goldenPath, leavesNothing } from './models.js';

const tiny = fileURLToPath(new URL('../../../models/rene-tiny', import.meta.url));

/** RENE_TEST_BATCHES=200 runs so many of rene-tiny on each backend; on cpu that takes half an hour. */
const asked = process.env.RENE_TEST_BATCHES;

/** 1 to 8 prompts of 1 to 60 tokens and any options, all from one seed. */
function randomBatch(seed: number, vocabSize: number) {
  const random = seedrandom(String(seed));
  const from = (low: number, high: number) => low + Math.floor(random() * (high - low + 1));
  const maybe = <T>(value: T) => (random() < 0.5 ? value : undefined);
  const prompts = Array.from({ length: from(1, 8) }, () =>
    Array.from({ length: from(1, 60) }, () => from(0, vocabSize - 1)),
  );
  const temperature = maybe(random() * 2);
  const options: GenerateOptions = {
    maxNewTokens: from(1, 12),
    temperature,
    topK: maybe(from(0, 50)),
    topP: maybe(random()),
    minP: maybe(random() * 0.2),
    seed: maybe(seed),
    repetitionPenalty: maybe(1 + random()),
    // Some of a quarter of the ids, so that rows end at different times.
    eosTokenId: Array.from({ length: vocabSize }, (_, id) => id).filter(() => random() < 0.25),
    minNewTokens: maybe(from(0, 4)),
    logProbs: maybe(from(0, 3)),
    badWordsIds: maybe([[from(0, vocabSize - 1)]]),
    logitBias: maybe({ [from(0, vocabSize - 1)]: random() * 4 }),
  };
  // What makes it sample must be repeatable.
  const samples = [options.temperature, options.topK, options.topP, options.minP].some(
    (option) => option !== undefined,
  );
  if (samples) options.seed ??= seed;
  if (options.seed !== undefined && (options.temperature ?? 1) > 0 && options.topK !== 1) {
    options.numReturnSequences = maybe(from(2, 3));
  }
  return { prompts, options };
}

for (const [name, dir, backend, batches] of [
  ['a golden model', goldenPath('tiny-gqa'), 'cpu', 1],
  ['rene-tiny', tiny, 'simd', Number(asked ?? 15)],
  ['rene-tiny', tiny, 'cpu', Number(asked ?? 1)],
] as const) {
  describe(`random batches of ${name} on ${backend}`, () => {
    let model: ReneLMHeadModel;
    before(async () => {
      model = await ReneLMHeadModel.fromPretrained(dir, { backend });
    });
    after(() => model.dispose());

    for (let i = 0; i < batches; i++) {
      it(`batch ${i} equals its single runs exactly`, async () => {
        const { prompts, options } = randomBatch(i, model.config.vocabSize);
        const together = await leavesNothing(() => model.generate(prompts, options));
        const copies = options.numReturnSequences ?? 1;
        for (const [i, prompt] of prompts.entries()) {
          const alone = await model.generate(prompt, options);
          const own = [i * copies, (i + 1) * copies] as const;
          expect(together.sequences.slice(...own)).to.deep.equal(alone.sequences);
          expect(together.finishReasons.slice(...own)).to.deep.equal(alone.finishReasons);
          expect(together.logProbs?.slice(...own)).to.deep.equal(alone.logProbs);
        }
      }).timeout(600_000);
    }
  });
}
