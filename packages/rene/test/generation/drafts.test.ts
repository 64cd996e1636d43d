// Prompt lookup and assisted decoding: the same tokens as without drafts, and fewer steps.
import { InvalidArgumentError } from '@rene-js/layers';
import { goldenPath, leavesNothing, rejection } from '@rene-js/testing';
import { expect } from 'chai';
import fc from 'fast-check';
import { AutoModelForCausalLM } from '../../src/auto_model.js';
import { DraftSchedule } from '../../src/generation/draft_schedule.js';
import { PromptLookup } from '../../src/generation/drafter.js';
import { generate } from '../../src/generation/generate.js';
import type { GenerateOptions } from '../../src/generation/options.js';
import type { CausalLM } from '../../src/model.js';

/** Replaces the schedule's decision, which depends on time. */
async function withLengths<T>(next: () => number, run: () => Promise<T>): Promise<T> {
  const own = DraftSchedule.prototype.lengthFor;
  DraftSchedule.prototype.lengthFor = next;
  try {
    return await run();
  } finally {
    DraftSchedule.prototype.lengthFor = own;
  }
}

/** How a backend verifies drafts: in a compiled pass, beside a compiled step, or without one. */
type Path = 'compiled' | 'beside a step' | 'forward';

/** The model as on a backend that verifies drafts so. */
function onPath(model: CausalLM, path: Path): CausalLM {
  return new Proxy(model, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      if (key !== 'compileStep' || path === 'compiled') return value.bind(target);
      return (batch: number) => {
        if (path === 'forward') return undefined;
        const step = target.compileStep(batch);
        return step && Object.assign(step, { verify: undefined });
      };
    },
  });
}

describe('decoding with drafts', () => {
  const models = new Map<string, CausalLM>();
  const load = async (name: string, dtype: 'f32' | 'bf16' | 'int8' | 'int4') => {
    const key = `${name} ${dtype}`;
    const found =
      models.get(key) ??
      (await AutoModelForCausalLM.fromPretrained(goldenPath(name), { backend: 'simd', dtype }));
    models.set(key, found);
    return found;
  };
  after(() => {
    for (const model of models.values()) model.dispose();
  });

  it('gives the same tokens, log-probabilities and states for any drafts, greedy and sampled', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          name: fc.constantFrom('tiny-hybrid', 'tiny-gqa', 'tiny-mamba2', 'hybrids/falcon-h1'),
          dtype: fc.constantFrom('f32', 'bf16', 'int8', 'int4'),
          path: fc.constantFrom<Path>('compiled', 'compiled', 'beside a step', 'forward'),
          prompts: fc.array(fc.array(fc.nat(3), { minLength: 1, maxLength: 12 }), {
            minLength: 1,
            maxLength: 3,
          }),
          lengths: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 5 }),
          isSampled: fc.boolean(),
          isAssisted: fc.boolean(),
          returnState: fc.boolean(),
          maxNewTokens: fc.integer({ min: 1, max: 40 }),
          repetitionPenalty: fc.constantFrom(1, 1.2),
        }),
        async ({ name, dtype, path, prompts, lengths, isSampled, isAssisted, ...options }) => {
          const model = await load(name, dtype);
          const common: GenerateOptions = {
            ...options,
            ...{ eosTokenId: [5, 9], logProbs: 1, ...(isSampled && { temperature: 0.6, seed: 4 }) },
          };
          const from = onPath(model, path);
          const run = async (more: GenerateOptions) => {
            const { state, ...result } = await generate(from, prompts, { ...common, ...more });
            const layers = state?.layers.flatMap((layer) => layer?.save() ?? []) ?? [];
            const saved: Uint8Array[] = [];
            for (const tensor of layers) {
              // Slots of a KV cache that hold no token may differ.
              if (!/^[kv]$/.test(tensor.name)) saved.push(await tensor.bytes());
            }
            const positions = state?.positions;
            const logits =
              state &&
              model.forward(
                prompts.map(() => [1]),
                { state },
              );
            const after = logits?.dataSync();
            logits?.dispose();
            state?.dispose();
            return { ...result, saved, positions, after };
          };
          let i = 0;
          const draft = isAssisted ? { assistantModel: model } : { promptLookupNumTokens: 9 };
          const next = () => lengths[i++ % lengths.length] ?? 0;
          const found = await withLengths(next, () => leavesNothing(() => run(draft)));
          expect(found).to.deep.equal(await run({}));
        },
      ),
      { numRuns: Number(process.env.RENE_DRAFT_CASES ?? 25) },
    ));

  it('an assistant that knows the tokens saves steps; stream yields each token', async () => {
    const model = await load('tiny-mamba2', 'f32');
    const options = { maxNewTokens: 33, eosTokenId: null };
    const fed: number[] = [];
    const counted = new Proxy(model, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        if (key !== 'compileStep') return value.bind(target);
        return (batch: number) => {
          const step = target.compileStep(batch);
          const verify = step?.verify?.bind(step);
          if (!step || !verify) throw new Error('simd compiles passes over drafts');
          step.verify = (row, tokens) => {
            fed.push(tokens.length);
            return verify(row, tokens);
          };
          return step;
        };
      },
    });
    const { stream } = await import('../../src/generation/stream.js');
    const streamed: number[] = [];
    await withLengths(
      () => 7,
      async () => {
        const tokens = stream(counted, [1, 2, 3], { ...options, assistantModel: model });
        for await (const token of tokens) streamed.push(token);
      },
    );
    const { sequences } = await model.generate([1, 2, 3], options);
    expect(streamed).to.deep.equal(sequences[0]?.slice(3));
    expect(fed).to.deep.equal([8, 8, 8, 8]);
  });

  it('looks up the latest occurrence of the longest n-gram', () => {
    const lookup = new PromptLookup();
    const propose = (ids: number[], most: number, by = lookup) => {
      const kind = by.kindOf(ids);
      return kind === undefined ? undefined : [kind, by.propose(ids, most)];
    };
    expect(propose([1, 2, 3], 4)).to.equal(undefined);
    expect(propose([1, 2, 3, 4, 1, 2], 2)).to.deep.equal([2, [3, 4]]);
    expect(propose([1, 2, 3, 4, 1, 2, 9, 1, 2], 2)).to.deep.equal([2, [9, 1]]);
    expect(propose([1, 2, 3, 4, 1, 2, 9, 1, 2, 3], 1)).to.deep.equal([3, [4]]);
    // A text that repeats itself goes on.
    const again = new PromptLookup();
    expect(propose([7, 8, 7, 8], 5, again)).to.deep.equal([2, [7, 8, 7, 8, 7]]);
  });

  it('drafts less where drafts are wrong, and stops where they do not pay', () => {
    /** Tokens in the time of one without drafts. @param isRight the fate of a drafted token of a kind */
    const simulate = (kindOf: () => number, isRight: (kind: number) => boolean) => {
      const schedule = new DraftSchedule(8);
      let [time, tokens] = [0, 0];
      while (tokens < 2000) {
        const kind = kindOf();
        const length = schedule.lengthFor(kind);
        const cost = 1 + 0.3 * length;
        if (length === 0) schedule.decoded(1);
        let accepted = 0;
        while (accepted < length && isRight(kind)) accepted++;
        if (length > 0) schedule.verified(kind, length, accepted, cost);
        time += cost;
        tokens += accepted + 1;
      }
      return tokens / time;
    };
    const oneKind = () => 2;
    expect(simulate(oneKind, () => false)).to.be.above(0.96);
    expect(simulate(oneKind, () => true)).to.be.above(2.5);
    let i = 0;
    expect(simulate(oneKind, () => i++ % 50 < 40)).to.be.above(1.2);
    // Kinds of drafts are told apart.
    const halves = () => 2 + (i++ % 2);
    expect(simulate(halves, (kind) => kind === 3)).to.be.above(1.8);
  });

  it('refuses an assistant of another vocabulary, and beams', async () => {
    const model = await load('tiny-hybrid', 'f32');
    const other = await load('hybrids/falcon-h1', 'f32');
    const refused = async (options: GenerateOptions) => {
      const error = await rejection(model.generate([1], options));
      expect(error).to.be.instanceOf(InvalidArgumentError);
      return error.message;
    };
    expect(await refused({ assistantModel: other })).to.include('assistantModel: expected a model');
    expect(await refused({ promptLookupNumTokens: -1 })).to.include('promptLookupNumTokens');
    expect(await refused({ promptLookupNumTokens: 3, numBeams: 2 })).to.include('numBeams');
  });
});
