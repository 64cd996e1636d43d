// Adapters in the thread of their model: each answers as a server of its own would, and leaves no memory.
import { fileURLToPath } from 'node:url';
import { errorOf } from '@rene-js/testing';
import { expect } from 'chai';
import { modelFolder } from '../../src/commands/load.js';
import type { Engine, Job } from '../../src/serving/job.js';
import { ServingError, WorkerEngine } from '../../src/serving/worker_engine.js';

/** Adapters that PEFT wrote, and their model. */
const DATA = fileURLToPath(new URL('../../../../rene/test/lora/data/', import.meta.url));

describe('adapters of a served model', () => {
  let main: WorkerEngine;
  const start = async (lora?: string) =>
    WorkerEngine.start({
      dir: `${DATA}base`,
      tokenizerPath: `${await modelFolder(undefined)}/tokenizer.json`,
      ...{ backend: 'simd', threads: 1, slots: 4, lora },
    });
  before(async () => {
    main = await start();
  });
  after(() => main?.close());

  /** The tokens of an answer with their log-probabilities. */
  function answer(engine: Engine, prompt: number[], seed = 1): Promise<unknown[]> {
    const sampling = { temperature: 1, topP: 1, seed, logProbs: 1 };
    const job: Job = { prompt, n: 1, maxTokens: 8, stop: [], ignoreEos: true, ...sampling };
    const tokens: unknown[] = [];
    return new Promise((resolve, reject) => {
      engine.submit(job, (event) => {
        if (event.type === 'token') tokens.push([event.id, event.logProb?.logProb]);
        if (event.type === 'error') reject(new Error(event.message));
        if (event.type === 'end') resolve(tokens);
      });
    });
  }

  it('answer as a server with that adapter does, all at once', async () => {
    const prompts = [[3, 1, 4, 1, 5], Array.from({ length: 300 }, (_, i) => (i * i) % 11)];
    const answersOf = (engine: Engine) => Promise.all(prompts.map((ids) => answer(engine, ids)));
    const wanted = new Map<string, unknown>([['', await answersOf(main)]]);
    for (const name of ['plain', 'saved_modules']) {
      const alone = await start(`${DATA}${name}`);
      wanted.set(name, await answersOf(alone));
      await alone.close();
    }
    expect(new Set([...wanted.values()].map((each) => JSON.stringify(each)))).to.have.length(3);
    const before = await main.memory();
    const running = answersOf(main); // an adapter is loaded while others are answered
    const one = await main.addAdapter({ lora: `${DATA}plain`, prefixCacheBytes: 1 << 20 });
    const two = await main.addAdapter({ lora: `${DATA}saved_modules` });
    expect(await running).to.deep.equal(wanted.get(''));
    for (const _ of ['first', 'from the prefix cache']) {
      const found = await Promise.all([main, one, two].map(answersOf));
      expect(found).to.deep.equal([...wanted.values()]);
    }
    expect(one.load()).to.include({ active: 0, waiting: 0, slots: 4 });
    expect(one.load().cacheBytes).to.be.above(0);
    expect(two.load().cacheBytes).to.equal(0);
    await Promise.all([one.close(), two.close(), one.close()]);
    expect(await main.memory()).to.deep.equal(before);
    expect(String(await answer(one, [5]).catch((error) => error))).to.include('closed');
    expect(await answersOf(main)).to.deep.equal(wanted.get(''));
  });

  it('that cannot be loaded are refused, and the model goes on', async () => {
    const before = await main.memory();
    const error = await errorOf(ServingError, () => main.addAdapter({ lora: '/nowhere/a' }));
    expect(error.message).to.match(/nowhere\/a: .*LoRA adapter/);
    expect(await main.memory()).to.deep.equal(before);
    expect(await answer(main, [3])).to.have.length(8);
  });

  it('end with the thread of their model', async () => {
    const engine = await start();
    const adapter = await engine.addAdapter({ lora: `${DATA}plain` });
    const asked = answer(adapter, [3]).catch((error) => error);
    const late = engine.addAdapter({ lora: `${DATA}plain` }).catch((error) => error);
    await engine.close();
    expect(String(await asked)).to.match(/shutting down/);
    expect(String(await late)).to.match(/shutting down/);
    expect(adapter.downReason).to.match(/shutting down/);
    await adapter.close();
    await errorOf(ServingError, () => engine.addAdapter({ lora: `${DATA}plain` }));
  });
});
