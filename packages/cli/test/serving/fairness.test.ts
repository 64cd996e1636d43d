// Fairness of the engine, counted in steps of the model: who waits for whom, and that it changes no answer.
import { useBackend } from '@rene-js/layers';
import { type GenerationModel, ReneLMHeadModel } from '@rene-js/rene';
import { golden } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { BatchEngine } from '../../src/serving/batch_engine.js';
import type { Job, JobEvent } from '../../src/serving/job.js';

const tokenizer = { decodeStream: () => ({ push: () => '', end: () => '' }) };

function job(prompt: number[], options: Partial<Job> = {}): Job {
  return {
    prompt,
    n: 1,
    maxTokens: 4,
    temperature: 1,
    topP: 1,
    stop: [],
    ignoreEos: true,
    ...options,
  };
}

describe('fairness of the engine', () => {
  let model: ReneLMHeadModel;
  let counted: GenerationModel;
  let forwards = 0;
  let engine: BatchEngine;

  before(async () => {
    await useBackend('simd');
    model = await ReneLMHeadModel.fromPretrained(golden('tiny-hybrid'), { backend: 'simd' });
    counted = {
      config: model.config,
      initialState: model.initialState.bind(model),
      forward: (...args) => {
        forwards++;
        return model.forward(...args);
      },
    };
  });
  after(() => model.dispose());

  /** Submits a job; its tokens by sequence, and the forwards until its first token and its end. */
  function submit(wanted: Job) {
    const start = forwards;
    const tokens = Array.from({ length: wanted.n }, (): number[] => []);
    let first: number | undefined;
    let onFirst = () => {};
    const started = new Promise<void>((resolve) => {
      onFirst = resolve;
    });
    const events: JobEvent[] = [];
    const done = new Promise<number>((resolve, reject) => {
      engine.submit(wanted, (event) => {
        events.push(event);
        if (event.type === 'token') {
          first ??= forwards - start;
          onFirst();
          tokens[event.k]?.push(event.id);
        }
        if (event.type === 'end') resolve(forwards - start);
        if (event.type === 'error') reject(new Error(event.message));
      });
    });
    return { done, started, tokens, first: () => first };
  }

  it('starts and ends a short request soon behind long ones that fill the batch', async () => {
    for (const client of ['greedy', 'other']) {
      engine = new BatchEngine(counted, tokenizer, 4);
      const long = Array.from({ length: 12 }, (_, i) =>
        submit(job([i + 1], { client: 'greedy', maxTokens: 150, seed: i })),
      );
      await long[3]?.started;
      const short = submit(job([7], { client, maxTokens: 3 }));
      expect(await short.done, client).to.be.below(12);
      expect(short.first()).to.be.below(6);
      await engine.close();
    }
  });

  it('starts a short request soon behind long prompts', async () => {
    engine = new BatchEngine(counted, tokenizer, 4);
    for (let i = 0; i < 6; i++) submit(job(Array(500).fill(i + 1), { maxTokens: 2 }));
    const short = submit(job([7], { maxTokens: 2 }));
    await short.started;
    expect(short.first()).to.be.below(8);
    await engine.close();
  });

  it('shares the batch among clients', async () => {
    engine = new BatchEngine(counted, tokenizer, 4);
    for (let i = 0; i < 9; i++) submit(job([i + 1], { client: 'greedy', maxTokens: 300 }));
    const other = Array.from({ length: 2 }, (_, i) =>
      submit(job([i + 3], { client: 'other', maxTokens: 40 })),
    );
    // Both decode from the start on: 40 steps, and the prompts of all.
    for (const { done } of other) expect(await done).to.be.below(65);
    await engine.close();
  });

  it('gives every sequence what it gets alone, though it loses its slot on the way', async () => {
    const jobs = fc.array(
      fc.record({
        client: fc.constantFrom('a', 'b', 'c'),
        prompt: fc.array(fc.nat(89), { minLength: 1, maxLength: 4 }),
        n: fc.integer({ min: 1, max: 3 }),
        maxTokens: fc.integer({ min: 1, max: 25 }),
        seed: fc.nat(1000),
        delay: fc.nat(40),
      }),
      { minLength: 4, maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(jobs, fc.integer({ min: 1, max: 4 }), async (wanted, slots) => {
        engine = new BatchEngine(counted, tokenizer, slots);
        const before = tf.memory().numTensors;
        const found = await Promise.all(
          wanted.map(async ({ delay, prompt, ...options }) => {
            await new Promise((resolve) => setTimeout(resolve, delay));
            const { done, tokens } = submit(job(prompt, options));
            await done;
            return tokens;
          }),
        );
        for (const [i, { prompt, n, maxTokens, seed }] of wanted.entries()) {
          const { sequences } = await model.generate(prompt, {
            temperature: 1,
            eosTokenId: null,
            numReturnSequences: n,
            maxNewTokens: maxTokens,
            seed,
          });
          expect(found[i]).to.deep.equal(sequences.map((ids) => ids.slice(prompt.length)));
        }
        expect(engine.load()).to.include({ active: 0, waiting: 0 });
        expect(tf.memory().numTensors).to.equal(before);
      }),
      { numRuns: 6 },
    );
  });

  it('frees the states of sequences that wait when they are cancelled, and when it closes', async () => {
    engine = new BatchEngine(counted, tokenizer, 2);
    const before = tf.memory().numTensors;
    const cancels = Array.from({ length: 4 }, (_, i) =>
      engine.submit(job([i + 1], { n: 2, maxTokens: 400 }), () => {}),
    );
    for (let i = 0; i < 3; i++) await submit(job([9], { maxTokens: 5 })).done;
    for (const cancel of cancels) cancel();
    await submit(job([9], { maxTokens: 2 })).done;
    expect(tf.memory().numTensors).to.equal(before);
    for (let i = 0; i < 4; i++) submit(job([i + 1], { maxTokens: 400 }));
    await submit(job([9], { maxTokens: 5 })).done;
    await engine.close();
    expect(tf.memory().numTensors).to.equal(before);
  });
});
