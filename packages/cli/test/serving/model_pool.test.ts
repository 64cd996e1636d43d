// Several models behind one server: loaded when they are named, dropped within the bound, none while in use.
import { Tokenizer } from '@rene-js/rene';
import { expect } from 'chai';
import fc from 'fast-check';
import { modelFolder } from '../../src/commands/load.js';
import { ModelPool, type PooledModel } from '../../src/serving/model_pool.js';
import { createServer } from '../../src/serving/server.js';
import { instantEngine } from './fake_engines.js';

describe('a pool of models', () => {
  let tokenizer: Tokenizer;
  before(async () => {
    tokenizer = await Tokenizer.fromPretrained(await modelFolder(undefined));
  });

  /** Models that count what is loaded. */
  function fakes(sizes: Readonly<Record<string, number>>) {
    const loads: string[] = [];
    let bytes = 0;
    let most = 0;
    const entries = Object.entries(sizes).map(
      ([name, size]): PooledModel => ({
        name,
        bytes: size,
        async load() {
          loads.push(name);
          bytes += size;
          most = Math.max(most, bytes);
          await new Promise(setImmediate);
          if (name === 'broken') {
            bytes -= size;
            throw new Error('it is broken');
          }
          return {
            ...{ engine: instantEngine(), tokenizer, modelName: name, vocabSize: 60_000 },
            async close() {
              await new Promise(setImmediate);
              bytes -= size;
            },
          };
        },
      }),
    );
    return { entries, loads, most: () => most, bytes: () => bytes };
  }

  it('loads a model once, and drops what was used least recently', async () => {
    const { entries, loads, bytes } = fakes({ a: 4, b: 4, c: 4 });
    const pool = new ModelPool(entries, 9);
    const nameOf = (name: string) => pool.use(name, async ({ modelName }) => modelName);
    for (const name of ['a', 'b', 'a', 'c', 'a', 'b']) expect(await nameOf(name)).to.equal(name);
    expect(loads).to.deep.equal(['a', 'b', 'c', 'b']);
    expect(bytes()).to.equal(8);
    await pool.close();
    expect(bytes()).to.equal(0);
  });

  it('keeps within its bound and serves everyone, whoever asks when', async () => {
    const request = fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'broken'),
      start: fc.nat(6),
      duration: fc.nat(4),
    });
    const turns = async (count: number) => {
      for (let i = 0; i < count; i++) await new Promise(setImmediate);
    };
    await fc.assert(
      fc.asyncProperty(fc.array(request, { maxLength: 20 }), async (requests) => {
        const { entries, most, bytes } = fakes({ a: 4, b: 3, c: 2, broken: 2 });
        const pool = new ModelPool(entries, 6);
        await Promise.all(
          requests.map(async ({ name, start, duration }) => {
            await turns(start);
            const used = pool.use(name, async ({ modelName }) => {
              await turns(duration);
              return modelName;
            });
            const found = await used.catch((error: Error) => error.message);
            expect(found).to.equal(name === 'broken' ? 'it is broken' : name);
          }),
        );
        expect(most()).to.be.at.most(6);
        await pool.close();
        expect(bytes()).to.equal(0);
      }),
      { numRuns: 100 },
    );
  });

  it('is part of the load that /health and /metrics show', async () => {
    const { entries } = fakes({ a: 4, b: 4, broken: 1 });
    const load = { active: 2, waiting: 3, slots: 4, cacheBytes: 5 };
    const busy = entries.map((entry) => ({
      ...entry,
      load: async () => ({
        ...(await entry.load()),
        engine: { ...instantEngine(), load: () => load },
      }),
    }));
    const pool = new ModelPool(busy, 9);
    const main = { engine: instantEngine(), tokenizer, modelName: 'main', vocabSize: 60_000 };
    const app = createServer({ ...main, pool });
    const shown = async () => {
      const { active, waiting } = (await app.inject('/health')).json();
      const { body } = await app.inject('/metrics');
      const found = ['sequences_active', 'sequences_waiting', 'prefix_cache_bytes'].map((name) =>
        Number(new RegExp(`^rene_${name} (.*)$`, 'm').exec(body)?.[1]),
      );
      return [active, waiting, ...found];
    };
    expect(await shown()).to.deep.equal([0, 0, 0, 0, 0]);
    await pool.use('a', async () => {});
    await pool.use('broken', async () => {}).catch(() => {});
    expect(await shown()).to.deep.equal([2, 3, 2, 3, 5]);
    await pool.use('b', async () => {});
    expect(await shown()).to.deep.equal([4, 6, 4, 6, 10]);
    await app.close();
    await pool.close();
    expect(pool.loadWith(load)).to.deep.equal(load);
  });

  it('answers by the model that a request names', async () => {
    const { entries, loads } = fakes({ 'org/other': 4 });
    const pool = new ModelPool(entries, 9);
    const engine = instantEngine();
    const main = { engine, tokenizer, modelName: 'main', vocabSize: 60_000 };
    const app = createServer({ ...main, pool, chatTemplate: '{{ messages[0].content }}' });
    const ask = async (model: string | undefined, url = '/v1/completions') => {
      const input = url.includes('chat')
        ? { messages: [{ role: 'user', content: 'A' }] }
        : { prompt: 'A' };
      const payload = { ...input, model, max_tokens: 2 };
      const response = await app.inject({ method: 'POST', url, payload });
      const { model: answered, error } = response.json();
      return answered ?? error;
    };
    expect(await ask(undefined)).to.equal('main');
    expect(await ask('main')).to.equal('main');
    expect(loads).to.deep.equal([]);
    expect(await ask('org/other')).to.equal('org/other');
    expect(await ask('org/other', '/v1/chat/completions')).to.equal('org/other');
    expect(loads).to.deep.equal(['org/other']);
    expect(await ask('none')).to.include({ param: 'model', code: 'model_not_found' });
    expect((await ask('none')).message).to.include("this server has 'main', 'org/other'");
    const { data } = (await app.inject('/v1/models')).json();
    expect(data.map(({ id }: { id: string }) => id)).to.deep.equal(['main', 'org/other']);
    expect((await app.inject('/v1/models/org/other')).json().id).to.equal('org/other');
    expect((await app.inject('/metrics')).body).to.include('rene_generated_tokens_total 8');
    await app.close();
    await pool.close();
  });
});
