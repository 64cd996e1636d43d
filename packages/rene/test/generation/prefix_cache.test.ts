// The prefix cache: a prompt continued from a cached prefix gets the same logits, within the byte limit.
import { leavesNothing, loadGolden } from '@rene-js/testing';
import { expect } from 'chai';
import { prefillParts } from '../../src/generation/prefill.js';
import { isStored, nextStop, PrefixCache } from '../../src/generation/prefix_cache.js';
import type { ReneLMHeadModel } from '../../src/rene_model.js';

const CHUNK = 16;
const idsOf = (length: number, seed = 0) =>
  Array.from({ length }, (_, i) => (i * 31 + i * i + seed) % 90);

describe('PrefixCache', () => {
  let model: ReneLMHeadModel;
  let stateBytes: number;
  before(async () => {
    model = await loadGolden('tiny-hybrid');
    const cache = new PrefixCache(Number.POSITIVE_INFINITY);
    await read(cache, idsOf(1));
    stateBytes = cache.usedBytes - 8 - 4 * 96; // without its token and its logits
  });
  after(() => model.dispose());

  /** Prefills a prompt as the server does. */
  async function read(cache: PrefixCache, prompt: readonly number[], chunk = CHUNK) {
    const plan = cache.plan(prompt, chunk);
    const cached = await cache.find(prompt);
    const state = cached?.state ?? model.initialState(1);
    const start = cached?.tokens ?? 0;
    let read = start;
    let last = cached?.logits;
    while (read < prompt.length) {
      const rest = prompt.slice(read, nextStop(plan, read, prompt.length));
      for await (const { tokens, logits } of prefillParts(model, state, rest, 'last', chunk)) {
        read += tokens;
        last = logits.at(-1)?.slice();
        if (isStored(plan, read)) await cache.store(prompt.slice(0, read), state, last);
      }
    }
    expect(state.positions).to.deep.equal([prompt.length]);
    state.dispose();
    return { start, logits: [...(last ?? [])] };
  }

  it('continuing from the longest cached prefix gives the same logits', () =>
    leavesNothing(async () => {
      const cache = new PrefixCache(Number.POSITIVE_INFINITY);
      const none = new PrefixCache(0);
      const long = idsOf(70);
      const other = [...long.slice(0, 41), ...idsOf(30, 7)];
      for (const [prompt, start] of [
        [long, 0],
        [long, 70],
        [other, 32],
        [[...long, 5, 6, 7], 70],
        [long.slice(0, 40), 32],
        [long.slice(0, 48), 48],
        [idsOf(20, 3), 0],
      ] as const) {
        const found = await read(cache, prompt);
        expect(found.start, `first ${prompt.length} tokens`).to.equal(start);
        const alone = await read(none, prompt);
        expect(alone.start).to.equal(0);
        expect(found.logits).to.deep.equal(alone.logits);
      }
      expect(none.usedBytes).to.equal(0);
    }));

  it('drops the least recently used states, and respects its byte limit', async () => {
    const room = 3.5 * stateBytes;
    const cache = new PrefixCache(room);
    const [a, b, c, d] = [1, 2, 3, 4].map((seed) => idsOf(9, seed));
    if (!a || !b || !c || !d) throw new Error('four prompts');
    for (const prompt of [a, b, c, a, d]) await read(cache, prompt);
    expect(cache.usedBytes).to.be.within(2 * stateBytes, room);
    const known = async (prompt: number[]) => {
      const found = await cache.find(prompt);
      found?.state.dispose();
      return found !== undefined;
    };
    expect(await known(a), 'used again').to.equal(true);
    expect(await known(b), 'the oldest').to.equal(false);
    expect(await known(d)).to.equal(true);
  });

  it('stores at most a share of its size for one prompt', async () => {
    const cache = new PrefixCache(9 * stateBytes);
    await read(cache, idsOf(5, 1));
    await read(cache, idsOf(200));
    expect(cache.usedBytes).to.be.below(5 * stateBytes);
    const first = await cache.find(idsOf(5, 1));
    expect(first?.tokens).to.equal(5);
    first?.state.dispose();
  });

  it('stores the position where prompts diverge, even if it stores few states of them', async () => {
    const cache = new PrefixCache(9 * stateBytes);
    await read(cache, idsOf(1, 1));
    const startsOf = async (common: readonly number[], chunk: number, first: number) => {
      const starts: number[] = [];
      for (const seed of [first, first + 1, first + 2]) {
        starts.push((await read(cache, [...common, ...idsOf(130, seed)], chunk)).start);
      }
      return starts;
    };
    expect(await startsOf(idsOf(70), 16, 11), 'the border before').to.deep.equal([0, 0, 64]);
    const other = idsOf(90, 2).reverse();
    expect(await startsOf(other, 64, 40), 'the position itself').to.deep.equal([0, 0, 90]);
  });

  it('returns log-probabilities that were stored with as many top tokens', async () => {
    const cache = new PrefixCache(Number.POSITIVE_INFINITY);
    const ids = idsOf(3);
    const state = model.initialState(1);
    await model.forward([ids], { state }).data();
    const top = [
      { id: 4, logProb: -1 },
      { id: 5, logProb: -2 },
    ];
    const values = [null, { id: 31, logProb: -3, top }, { id: 66, logProb: -4, top }];
    const logits = new Float32Array(96);
    const found = async (count: number | undefined, prompt: readonly number[] = ids) => {
      const cached = await cache.find(prompt, count);
      cached?.state.dispose();
      return cached?.logProbs;
    };
    await cache.store(ids, state, logits);
    expect(await found(0)).to.equal(undefined);
    await cache.store(ids, state, logits, { top: 2, values });
    const withLogProbs = cache.usedBytes;
    await cache.store(ids, state, logits); // keeps them
    expect(cache.usedBytes).to.equal(withLogProbs);
    await cache.store(ids, state, logits, { top: 1, values: [] }); // keeps more of them
    expect(await found(3)).to.equal(undefined);
    expect(await found(2, [...ids, 1])).to.deep.equal(values);
    const one = { top: top.slice(0, 1) };
    expect(await found(1)).to.deep.equal([
      null,
      { ...values[1], ...one },
      { ...values[2], ...one },
    ]);
    expect(await found(undefined)).to.equal(undefined);
    state.dispose();
  });

  it('stores nothing larger than itself', async () => {
    const cache = new PrefixCache(stateBytes / 2);
    await read(cache, idsOf(20));
    expect(cache.usedBytes).to.equal(0);
    expect(await cache.find(idsOf(20))).to.equal(undefined);
  });
});
