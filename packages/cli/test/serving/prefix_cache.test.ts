// The engine with a prefix cache: what prompts have in common is read once, and answers stay the same.
import { type GenerationModel, ReneLMHeadModel } from '@rene-js/rene';
import { golden } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { BatchEngine } from '../../src/serving/batch_engine.js';
import type { Job, JobEvent } from '../../src/serving/job.js';

const tokenizer = { decodeStream: () => ({ push: (id: number) => `<${id}>`, end: () => '' }) };
const idsOf = (length: number, seed: number) =>
  Array.from({ length }, (_, i) => (i * 31 + i * i + seed) % 90);

const shared = idsOf(300, 0);
const jobs: readonly Partial<Job>[] = [
  { prompt: shared },
  { prompt: [...shared, ...idsOf(20, 5)], n: 3, temperature: 1, seed: 4 },
  { prompt: shared, logProbs: 2 },
  { prompt: shared.slice(0, 129), logProbs: 1, promptLogProbs: true },
  { prompt: [...shared.slice(0, 200), ...idsOf(150, 9)], temperature: 0.8, seed: 1 },
  { prompt: idsOf(40, 3), maxTokens: 0 },
  { prompt: idsOf(40, 3) },
];

describe('an engine with a prefix cache', () => {
  let model: ReneLMHeadModel;
  /** Tokens that the model has read, in parts of more than one. */
  let read = 0;
  before(async () => {
    model = await ReneLMHeadModel.fromPretrained(golden('tiny-hybrid'), { backend: 'simd' });
  });
  after(() => model.dispose());

  function engineWith(cacheBytes: number): BatchEngine {
    const counted: GenerationModel = {
      config: model.config,
      forward: (ids, options) => {
        read += ids[0]?.length ?? 0;
        return model.forward(ids, options);
      },
      initialState: (batch) => model.initialState(batch),
      compileStep: (batch, vocabSize) => model.compileStep(batch, vocabSize),
    };
    read = 0;
    return new BatchEngine(counted, tokenizer, 4, cacheBytes);
  }

  function run(engine: BatchEngine, options: Partial<Job>): Promise<JobEvent[]> {
    const job = { prompt: [], n: 1, maxTokens: 6, temperature: 0, topP: 1, stop: [], ...options };
    return new Promise((resolve) => {
      const events: JobEvent[] = [];
      engine.submit({ ...job, ignoreEos: true }, (event) => {
        events.push(event);
        if (event.type === 'end' || event.type === 'error') resolve(events);
      });
    });
  }

  const answerOf = (events: readonly JobEvent[]) => events.filter(({ type }) => type !== 'prompt');
  const cachedOf = (events: readonly JobEvent[]) =>
    events.reduce((sum, e) => sum + (e.type === 'prompt' && e.cached ? e.tokens : 0), 0);
  const promptOf = (events: readonly JobEvent[]) =>
    events.reduce((sum, e) => sum + (e.type === 'prompt' ? e.tokens : 0), 0);

  it('answers to the bit as without, and tells what it had', async () => {
    const tensors = tf.memory().numTensors;
    const plain = engineWith(0);
    const expected = [];
    for (const options of jobs) expected.push(await run(plain, options));
    const readAlone = read;
    const cached = engineWith(1e9);
    const found = [];
    for (const options of jobs) found.push(await run(cached, options));
    for (const [i, events] of found.entries()) {
      expect(answerOf(events), `job ${i}`).to.deep.equal(answerOf(expected[i] ?? []));
      expect(promptOf(events)).to.equal(jobs[i]?.prompt?.length);
    }
    expect(expected.map(cachedOf)).to.deep.equal([0, 0, 0, 0, 0, 0, 0]);
    expect(found.map(cachedOf)).to.deep.equal([0, 300, 300, 0, 129, 0, 40]);
    expect(read).to.equal(readAlone - 300 - 300 - 129 - 40);
    await plain.close();
    await cached.close();
    expect(tf.memory().numTensors, 'its states are not on the backend').to.equal(tensors);
  });

  it('reads each token of a conversation once', async () => {
    const engine = engineWith(1e9);
    let prompt: number[] = [];
    let computed = 0;
    for (let turn = 0; turn < 5; turn++) {
      prompt = [...prompt, ...idsOf(15, turn)];
      const events = await run(engine, { prompt, maxTokens: 7 });
      computed += prompt.length - cachedOf(events);
      prompt = [...prompt, ...events.flatMap((e) => (e.type === 'token' ? [e.id] : []))];
    }
    // The last token of an answer has been read by nobody yet.
    expect(computed).to.equal(5 * 15 + 4);
    await engine.close();
  });

  it('reads a question once for the scores of its answers', async () => {
    const question = idsOf(300, 2);
    const scored = [
      { prompt: [...question, 7], logProbs: 1 },
      { prompt: [...question, 8, 9], logProbs: 1 },
      { prompt: [...question, 8, 10], logProbs: 0 },
      { prompt: [...question, 11], logProbs: 3 }, // more than is known
      { prompt: [...question, 12], logProbs: 2 },
      { prompt: [...question, 12], maxTokens: 0, logProbs: 3 },
    ].map((job) => ({ maxTokens: 1, ...job, promptLogProbs: true }));
    const logProbsOf = (events: readonly JobEvent[]) =>
      events.flatMap((e) => (e.type === 'prompt' ? (e.logProbs ?? []) : []));
    const plain = engineWith(0);
    const cached = engineWith(1e9);
    const hits: number[] = [];
    for (const job of scored) {
      const expected = await run(plain, job);
      const found = await run(cached, job);
      expect(logProbsOf(found)).to.deep.equal(logProbsOf(expected));
      expect(logProbsOf(found)).to.have.lengthOf(job.prompt.length);
      expect(answerOf(found)).to.deep.equal(answerOf(expected));
      hits.push(cachedOf(found));
    }
    expect(hits).to.deep.equal([0, 300, 301, 0, 300, 300]);
    await plain.close();
    await cached.close();
  });

  it('reads what jobs that come at once have in common once', async () => {
    const question = idsOf(300, 2);
    const scores = [7, 8, 9, 11].map((id) => ({ prompt: [...question, id], maxTokens: 1 }));
    const chats = [3, 4, 6].map((seed) => ({ prompt: [...question, ...idsOf(20, seed)] }));
    const scored = { promptLogProbs: true, logProbs: 1 };
    for (const [prompts, tokens] of [
      [scores.map((job) => ({ ...job, ...scored })), 301 + 3],
      // The second one continues from a multiple of 128, and stores the place where they part.
      [chats, 320 + (320 - 256) + 20],
    ] as const) {
      const engine = engineWith(1e9);
      const found = await Promise.all(prompts.map((job) => run(engine, job)));
      expect(read).to.equal(tokens);
      await engine.close();
      const plain = engineWith(0);
      for (const [i, job] of prompts.entries()) {
        expect(answerOf(found[i] ?? [])).to.deep.equal(answerOf(await run(plain, job)));
      }
      await plain.close();
    }
  });

  it('gives jobs that come at once what they get alone', async () => {
    const plain = engineWith(0);
    const cached = engineWith(1e6);
    for (const engine of [plain, cached]) {
      const found = await Promise.all(jobs.map((options) => run(engine, options)));
      for (const [i, options] of jobs.entries()) {
        const alone = await run(plain, options);
        expect(sortedBySequence(answerOf(found[i] ?? []))).to.deep.equal(
          sortedBySequence(answerOf(alone)),
        );
      }
    }
    await plain.close();
    await cached.close();
  });
});

function sortedBySequence(events: readonly JobEvent[]): readonly JobEvent[] {
  const place = (event: JobEvent) => (event.type === 'token' ? event.k : -1);
  return events.toSorted((a, b) => place(a) - place(b));
}
