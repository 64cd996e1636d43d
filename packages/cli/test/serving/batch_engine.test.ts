// The engine: sequences decoded together equal those decoded alone; cancelled ones free their place.
import { useBackend } from '@rene-js/layers';
import { cudaInfo } from '@rene-js/layers/cuda';
import { type GenerationModel, ReneLMHeadModel, type Tokenizer } from '@rene-js/rene';
import { canTestCuda, golden, registerTestCuda } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { BatchEngine } from '../../src/serving/batch_engine.js';
import type { Job, JobEvent } from '../../src/serving/job.js';

const tokenizer: Pick<Tokenizer, 'decodeStream'> = {
  decodeStream: () => ({ push: (id) => `<${id}>`, end: () => '' }),
};

function job(prompt: number[], options: Partial<Job> = {}): Job {
  return { prompt, n: 1, maxTokens: 4, temperature: 0, topP: 1, stop: [], ...options };
}

/** All events of a job. */
function runJob(engine: BatchEngine, wanted: Job): Promise<JobEvent[]> {
  return new Promise((resolve) => {
    const events: JobEvent[] = [];
    engine.submit(wanted, (event) => {
      events.push(event);
      if (event.type === 'end' || event.type === 'error') resolve(events);
    });
  });
}

/** The model, and the rows whose logits its compiled steps have read. */
function countingReads(model: ReneLMHeadModel): { model: GenerationModel; reads: number[] } {
  const reads: number[] = [];
  const counted: GenerationModel = {
    config: model.config,
    forward: model.forward.bind(model),
    initialState: model.initialState.bind(model),
    compileStep: (batch, vocabSize) => {
      const step = model.compileStep(batch, vocabSize);
      const { logits, logitsOf } = step ?? {};
      if (!step || !logits || !logitsOf) return step;
      step.logits = (tokens) => {
        reads.push(...tokens.keys());
        return logits.call(step, tokens);
      };
      step.logitsOf = (row) => {
        reads.push(row);
        return logitsOf.call(step, row);
      };
      return step;
    },
  };
  return { model: counted, reads };
}

/** The ids of each sequence. */
function tokensOf(events: readonly JobEvent[]): number[][] {
  const sequences: number[][] = [];
  for (const event of events) {
    if (event.type === 'token') {
      sequences[event.k] ??= [];
      sequences[event.k]?.push(event.id);
    }
  }
  return sequences;
}

describe('BatchEngine', () => {
  let model: ReneLMHeadModel;
  before(async () => {
    await useBackend('cpu');
    model = await ReneLMHeadModel.fromPretrained(golden('tiny-hybrid'), { backend: 'cpu' });
  });
  after(() => model.dispose());

  it('gives every job what generate() gives it alone, however jobs meet', async () => {
    const jobs = fc.array(
      fc.record({
        prompt: fc.array(fc.nat(89), { minLength: 1, maxLength: 6 }),
        n: fc.integer({ min: 1, max: 2 }),
        maxTokens: fc.integer({ min: 1, max: 5 }),
        temperature: fc.constantFrom(0, 0.8, 1),
        topP: fc.constantFrom(0.9, 1),
        seed: fc.nat(1000),
        delay: fc.nat(15),
      }),
      { minLength: 2, maxLength: 5 },
    );
    await fc.assert(
      fc.asyncProperty(jobs, fc.integer({ min: 1, max: 6 }), async (wanted, slots) => {
        const engine = new BatchEngine(model, tokenizer, slots);
        const before = tf.memory().numTensors;
        const found = await Promise.all(
          wanted.map(async ({ delay, ...options }) => {
            await new Promise((resolve) => setTimeout(resolve, delay));
            return runJob(engine, job(options.prompt, options));
          }),
        );
        for (const [i, events] of found.entries()) {
          const { prompt = [], n = 1, maxTokens, temperature, topP, seed } = wanted[i] ?? {};
          const alone = await model.generate(prompt, {
            maxNewTokens: maxTokens,
            temperature,
            topP,
            seed,
            numReturnSequences: temperature === 0 ? 1 : n,
          });
          const expected = alone.sequences.map((ids) => ids.slice(prompt.length));
          const copies = temperature === 0 ? Array(n).fill(expected[0]) : expected;
          expect(tokensOf(events)).to.deep.equal(copies);
          expect(events[0]).to.deep.equal({
            type: 'prompt',
            tokens: prompt.length,
            logProbs: undefined,
          });
          expect(events.at(-1)).to.deep.equal({ type: 'end' });
        }
        expect(engine.load()).to.include({ active: 0, waiting: 0 });
        expect(tf.memory().numTensors).to.equal(before);
      }),
      { numRuns: 5 },
    );
  });

  it('gives the same in the places of a compiled step, on CUDA', async function () {
    if (!canTestCuda) this.skip();
    await registerTestCuda();
    const cuda = await ReneLMHeadModel.fromPretrained(golden('tiny-hybrid'), {
      backend: 'cuda',
      dtype: 'f32',
    });
    try {
      const { model: counted, reads } = countingReads(cuda);
      const engine = new BatchEngine(counted, tokenizer, 3);
      const options = { temperature: 1, ignoreEos: true };
      const wanted = Array.from({ length: 7 }, (_, i) =>
        job([i + 1, 5], { ...options, seed: i, maxTokens: 2 + ((i * 3) % 5), n: 1 + (i % 2) }),
      );
      const found = await Promise.all(wanted.map((one) => runJob(engine, one)));
      expect(reads, 'the device chooses').to.deep.equal([]);
      const mixed = wanted.map((one, i) => (i % 3 === 0 ? { ...one, logProbs: 1 } : one));
      const listed = await Promise.all(mixed.map((one) => runJob(engine, one)));
      expect(listed.map(tokensOf)).to.deep.equal(found.map(tokensOf));
      // The first token of each is chosen from its prompt's logits.
      const asked = mixed.filter(({ logProbs }) => logProbs === 1);
      const later = asked.reduce((sum, { n, maxTokens }) => sum + n * (maxTokens - 1), 0);
      expect(reads, 'rows that ask for log-probabilities').to.have.length(later);
      for (const [i, events] of listed.entries()) {
        const logProbs = events.flatMap((e) =>
          e.type === 'token' ? (e.logProb?.logProb ?? 1) : [],
        );
        expect(logProbs.every((value) => (i % 3 === 0 ? value <= 0 : value === 1))).to.equal(true);
      }
      const { usedBytes } = cudaInfo();
      const again = await Promise.all(wanted.map((one) => runJob(engine, one)));
      expect(cudaInfo().usedBytes, 'the step stays, and nothing else').to.equal(usedBytes);
      for (const [i, { prompt, n, seed, maxTokens }] of wanted.entries()) {
        const { sequences } = await cuda.generate(prompt, {
          temperature: 1,
          eosTokenId: null,
          seed,
          maxNewTokens: maxTokens,
          numReturnSequences: n,
        });
        const expected = sequences.map((ids) => ids.slice(2));
        expect([tokensOf(found[i] ?? []), tokensOf(again[i] ?? [])]).to.deep.equal([
          expected,
          expected,
        ]);
      }
      await engine.close();
      expect(cudaInfo().usedBytes).to.be.below(usedBytes);
    } finally {
      cuda.dispose();
      await useBackend('cpu');
    }
  });

  it('tells the log-probabilities of a prompt, in parts too', async () => {
    const engine = new BatchEngine(model, tokenizer, 4);
    const prompt = Array.from({ length: 140 }, (_, i) => (i * 31) % 90);
    const events = await runJob(
      engine,
      job(prompt, { promptLogProbs: true, logProbs: 2, maxTokens: 0 }),
    );
    expect(events.map(({ type }) => type)).to.deep.equal(['prompt', 'prompt', 'end']);
    const found = events.flatMap((e) => (e.type === 'prompt' ? (e.logProbs ?? []) : []));
    expect(found).to.have.length(140);
    expect(found[0]).to.equal(null);
    const logits = model.forward([prompt]);
    const [rows = []] = await logits.array();
    logits.dispose();
    for (const place of [1, 127, 128, 129, 139]) {
      const row = rows[place - 1]?.slice(0, 90) ?? [];
      const norm = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));
      const sorted = row.toSorted((a, b) => b - a);
      const { id, logProb, top } = found[place] ?? {};
      expect(id).to.equal(prompt[place]);
      expect(logProb).to.be.closeTo((row[prompt[place] ?? 0] ?? 0) - norm, 1e-4);
      expect(top?.map((t) => t.logProb)[1]).to.be.closeTo((sorted[1] ?? 0) - norm, 1e-4);
    }
  });

  it('frees the place of a cancelled job, in the queue, in the prompt, in the batch', async () => {
    const engine = new BatchEngine(model, tokenizer, 1);
    const before = tf.memory().numTensors;
    let tokens = 0;
    const endless = job([1, 2], { maxTokens: 1000, ignoreEos: true });
    const started = new Promise<() => void>((resolve) => {
      const cancel = engine.submit(endless, (event) => {
        if (event.type === 'token' && ++tokens === 3) resolve(cancel);
      });
    });
    const cancelWaiting = engine.submit(endless, () => expect.fail('it was cancelled'));
    const cancelPrompt = engine.submit(job(Array(300).fill(3)), () => expect.fail('cancelled'));
    const last = runJob(engine, job([5]));
    const cancelFirst = await started;
    expect(engine.load()).to.deep.equal({ active: 1, waiting: 3, slots: 1, cacheBytes: 0 });
    cancelWaiting();
    cancelFirst();
    setTimeout(cancelPrompt, 5);
    expect(tokensOf(await last)[0]).to.have.length(4);
    const count = tokens;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(tokens).to.equal(count);
    expect(engine.load()).to.include({ active: 0, waiting: 0 });
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('applies penalties, bias, stop strings and stop ids', async () => {
    const engine = new BatchEngine(model, tokenizer, 4);
    const tokens = async (options: Partial<Job>) =>
      tokensOf(await runJob(engine, job([7], options)))[0];
    const only = (biases: Record<number, number>) => ({ logitBias: biases });
    expect(await tokens(only({ 7: 100 }))).to.deep.equal([7, 7, 7, 7]);
    // Of three tokens far above all others each comes once, the prompt's 7 among them.
    const presence = await tokens({ ...only({ 7: 100, 8: 100, 9: 100 }), presencePenalty: 50 });
    expect(presence?.slice(0, 3).toSorted()).to.deep.equal([7, 8, 9]);
    // 50 a time: 7 comes twice before 8, which is 75 less likely, does.
    const frequency = await tokens({ ...only({ 7: 200, 8: 125 }), frequencyPenalty: 50 });
    expect(frequency).to.deep.equal([7, 7, 8, 7]);
    expect(await tokens({ ...only({ 7: 100 }), stop: ['><7'] })).to.deep.equal([7, 7]);
    expect(await tokens({ ...only({ 7: 100 }), stopIds: [7] })).to.deep.equal([7]);
    const late = await tokens({ ...only({ 7: 100 }), stopIds: [7], minTokens: 2 });
    expect(late?.indexOf(7)).to.equal(2);
  });

  it('lets the sequences of a large job join as places become free', async () => {
    const engine = new BatchEngine(model, tokenizer, 2);
    const before = tf.memory().numTensors;
    const options = { temperature: 1, seed: 5, ignoreEos: true };
    let most = 0;
    const large = new Promise<JobEvent[]>((resolve) => {
      const events: JobEvent[] = [];
      engine.submit(job([3, 4], { ...options, n: 7, maxTokens: 5 }), (event) => {
        events.push(event);
        most = Math.max(most, engine.load().active);
        if (event.type === 'end') resolve(events);
      });
    });
    const small = await runJob(engine, job([3], options));
    expect(most).to.equal(2);
    const { sequences } = await model.generate([3, 4], {
      temperature: 1,
      seed: 5,
      eosTokenId: null,
      maxNewTokens: 5,
      numReturnSequences: 7,
    });
    expect(tokensOf(await large)).to.deep.equal(sequences.map((ids) => ids.slice(2)));
    expect(tokensOf(small)[0]).to.have.length(4);
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('gives what generate() gives after a prompt of several parts', async () => {
    const engine = new BatchEngine(model, tokenizer, 4);
    const prompt = Array.from({ length: 600 }, (_, i) => (i * 31) % 90);
    const options = { temperature: 1, seed: 9 };
    const [long] = await Promise.all([
      runJob(engine, job(prompt, { ...options, maxTokens: 6 })),
      runJob(engine, job([5], { ...options, maxTokens: 12 })),
    ]);
    const { sequences } = await model.generate(prompt, { ...options, maxNewTokens: 6 });
    expect(tokensOf(long)).to.deep.equal(sequences.map((ids) => ids.slice(600)));
  });

  it('tells a job whose forward fails, and goes on', async () => {
    let broken = false;
    const fragile = {
      config: model.config,
      initialState: (batch?: number) => model.initialState(batch),
      forward: (...args: Parameters<ReneLMHeadModel['forward']>) => {
        if (broken) throw new Error('the card fell out');
        return model.forward(...args);
      },
    };
    const engine = new BatchEngine(fragile, tokenizer, 4);
    const before = tf.memory().numTensors;
    const events: JobEvent[] = [];
    await new Promise<void>((resolve) => {
      engine.submit(job([1], { maxTokens: 50, ignoreEos: true }), (event) => {
        events.push(event);
        if (event.type === 'token') broken = true;
        if (event.type === 'error') resolve();
      });
    });
    expect(events.at(-1)).to.deep.equal({
      type: 'error',
      message: 'the card fell out',
      isDown: false,
    });
    const failed = await runJob(engine, job([2]));
    expect(failed).to.deep.equal([{ type: 'error', message: 'the card fell out', isDown: false }]);
    broken = false;
    expect((await runJob(engine, job([2]))).at(-1)).to.deep.equal({ type: 'end' });
    expect(tf.memory().numTensors).to.equal(before);
  });
});
