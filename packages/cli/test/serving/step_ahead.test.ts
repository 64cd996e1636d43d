// The engine over a compiled step that starts the next token before it has read the last one, as 'webgpu' does.
import { type LayerState, useBackend } from '@rene-js/layers';
import { type GenerationModel, type RecurrentState, ReneLMHeadModel } from '@rene-js/rene';
import { argmax, PrefixCache } from '@rene-js/rene/internal';
import { golden } from '@rene-js/testing';
import { expect } from 'chai';
import { BatchEngine } from '../../src/serving/batch_engine.js';
import type { Job, JobEvent } from '../../src/serving/job.js';

const tokenizer = { decodeStream: () => ({ push: (id: number) => `<${id}>`, end: () => '' }) };

function job(prompt: number[], options: Partial<Job> = {}): Job {
  return { prompt, n: 1, maxTokens: 6, temperature: 0, topP: 1, stop: [], ...options };
}

describe('BatchEngine over steps that run ahead', () => {
  let model: ReneLMHeadModel;
  let steps = { ahead: 0, all: 0 };

  before(async () => {
    await useBackend('cpu');
    model = await ReneLMHeadModel.fromPretrained(golden('tiny-hybrid'), { backend: 'cpu' });
  });
  after(() => model.dispose());
  beforeEach(() => {
    steps = { ahead: 0, all: 0 };
  });

  /** A greedy step of forward that runs ahead, and refuses what 'webgpu' refuses then. */
  function stepOf(batch: number): ReturnType<NonNullable<GenerationModel['compileStep']>> {
    let rows: RecurrentState[] = [];
    let ahead: (number | undefined)[] | undefined;
    const feed = async (tokens: readonly number[]) => {
      const ids: number[] = [];
      for (const [row, state] of rows.entries()) {
        const logits = model.forward([[tokens[row] ?? -1]], { state, logitsToKeep: 1 });
        ids.push(argmax(Float32Array.from(await logits.data()), model.config.vocabSize));
        logits.dispose();
      }
      return ids;
    };
    const refuseAhead = () => {
      if (ahead) throw new Error('a step runs ahead');
    };
    return {
      batch,
      get rows() {
        return rows.length;
      },
      get positions() {
        return rows.map(({ positions }) => positions[0] ?? 0);
      },
      join(layers: readonly (LayerState | null)[], row: number, position: number) {
        refuseAhead();
        const first = model.initialState(1);
        const joined = first.with(layers, [position]).gather([row]);
        first.dispose();
        rows.push(joined);
      },
      leave(row) {
        rows[row]?.dispose();
        const [last, next] = [rows.pop(), ahead?.pop()];
        if (last && row < rows.length) rows[row] = last;
        if (ahead && row < ahead.length) ahead[row] = next;
        if (rows.length === 0) ahead = undefined;
      },
      replace: () => {
        throw new Error('no drafts here');
      },
      statesOf: (row) => [...(rows[row]?.clone().layers ?? [])],
      async sample(tokens, _params, after) {
        steps.all++;
        const ids = ahead?.map((id) => id ?? -1) ?? (await feed(tokens));
        ahead = after ? await feed(ids) : undefined;
        if (after) steps.ahead++;
        return ids;
      },
      async logitsOf() {
        throw new Error('no logits');
      },
      kernels: () => 1,
      async logits() {
        throw new Error('no logits');
      },
      dispose() {
        for (const state of rows) state.dispose();
        rows = [];
      },
    };
  }

  function engineOf(slots: number, cache?: PrefixCache): BatchEngine {
    const { config } = model;
    const forward = model.forward.bind(model);
    const initialState = model.initialState.bind(model);
    const stepped = { config, forward, initialState, compileStep: stepOf };
    return new BatchEngine(stepped, tokenizer, slots, cache);
  }

  /** A job's new tokens, and how many tokens of its prompt were cached. */
  async function run(engine: BatchEngine, wanted: Job, onToken?: () => void) {
    const ids: number[] = [];
    let cached = 0;
    await new Promise<void>((resolve, reject) => {
      engine.submit(wanted, (event: JobEvent) => {
        if (event.type === 'prompt' && event.cached) cached = event.tokens;
        if (event.type === 'error') reject(new Error(event.message));
        if (event.type === 'end') resolve();
        if (event.type !== 'token') return;
        ids.push(event.id);
        onToken?.();
      });
    });
    return { ids, cached };
  }

  async function alone(prompt: number[], maxNewTokens: number, eosTokenId: number | null = null) {
    const { sequences } = await model.generate(prompt, { maxNewTokens, eosTokenId });
    return sequences[0]?.slice(prompt.length) ?? [];
  }

  it('gives each request what generate gives, also those that arrive meanwhile', async () => {
    const engine = engineOf(2);
    const later: Promise<{ ids: number[] }>[] = [];
    const prompts = [[4, 5], [60, 2, 9], [13]];
    const options = { ignoreEos: true };
    const first = await run(engine, job([7, 8, 9], { ...options, maxTokens: 12 }), () => {
      const prompt = prompts.shift();
      if (prompt) later.push(run(engine, job(prompt, options)));
    });
    const others = await Promise.all(later);
    expect(first.ids).to.deep.equal(await alone([7, 8, 9], 12));
    const expected = [await alone([4, 5], 6), await alone([60, 2, 9], 6), await alone([13], 6)];
    expect(others.map(({ ids }) => ids)).to.deep.equal(expected);
    expect(steps.ahead).to.be.above(3).and.below(steps.all);
    await engine.close();
  });

  it('does not run ahead of a last token', async () => {
    const engine = engineOf(1);
    await run(engine, job([7, 8, 9], { ignoreEos: true, maxTokens: 5 }));
    // The first token comes from the prompt; the step of the last one is not ahead of another.
    expect(steps).to.deep.equal({ ahead: 3, all: 4 });
    await engine.close();
  });

  it('stores the state of an answer with the tokens that it covers', async () => {
    const [a = 0, b = 0, end = 0] = await alone([7, 8, 9], 3);
    for (const maxTokens of [3, 6]) {
      const engine = engineOf(1, new PrefixCache(1 << 24));
      const answer = await run(engine, job([7, 8, 9], { maxTokens, stopIds: [end] }));
      expect(answer.ids).to.deep.equal([a, b, end]);
      const prompt = [7, 8, 9, a, b, end, 11];
      const next = await run(engine, job(prompt, { ignoreEos: true }));
      expect(next).to.deep.equal({ ids: await alone(prompt, 6), cached: maxTokens === 3 ? 5 : 6 });
      await engine.close();
    }
  });
});
