// The prefix cache: a prompt continued from a cached prefix gets the same logits, within the byte limit.
import { leavesNothing, loadGolden } from '@rene-js/testing';
import { expect } from 'chai';
import { prefillParts } from '../../src/generation/prefill.js';
import { isStored, PrefixCache } from '../../src/generation/prefix_cache.js';
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
  async function read(cache: PrefixCache, prompt: readonly number[]) {
    const plan = cache.plan(prompt, CHUNK);
    const cached = await cache.find(prompt);
    const state = cached?.state ?? model.initialState(1);
    const start = cached?.tokens ?? 0;
    let read = start;
    let last = cached?.logits;
    const rest = prompt.slice(start);
    for await (const { tokens, logits } of prefillParts(model, state, rest, 'last', CHUNK)) {
      read += tokens;
      last = logits.at(-1)?.slice();
      if (isStored(plan, read)) await cache.store(prompt.slice(0, read), state, last);
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
    const common = idsOf(70);
    const questions = [11, 12, 13].map((seed) => [...common, ...idsOf(130, seed)]);
    const starts: number[] = [];
    for (const prompt of questions) starts.push((await read(cache, prompt)).start);
    expect(starts).to.deep.equal([0, 0, 64]);
  });

  it('stores nothing larger than itself', async () => {
    const cache = new PrefixCache(stateBytes / 2);
    await read(cache, idsOf(20));
    expect(cache.usedBytes).to.equal(0);
    expect(await cache.find(idsOf(20))).to.equal(undefined);
  });
});
