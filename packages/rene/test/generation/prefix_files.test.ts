// States of prompts in files: found again by another process, to the bit, within the bound.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { leavesNothing, loadGolden, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { PrefixCache } from '../../src/generation/prefix_cache.js';
import { PrefixFiles } from '../../src/generation/prefix_files.js';
import type { ReneLMHeadModel } from '../../src/rene_model.js';

const LARGE = 1e9;
const idsOf = (length: number, seed = 0) =>
  Array.from({ length }, (_, i) => (i * 31 + i * i + seed) % 90);

describe('PrefixFiles', () => {
  const folder = temporaryFolders();
  let model: ReneLMHeadModel;
  before(async () => {
    model = await loadGolden('tiny-hybrid');
  });
  after(() => model.dispose());

  const open = (dir: string, bytes = LARGE, name = 'm') =>
    PrefixFiles.open(dir, name, model, bytes);
  const filesIn = (dir: string, name = 'm') => readdirSync(join(dir, name)).sort();
  const next = async (ids: number[], state: Parameters<typeof model.forward>[1]) => {
    const logits = model.forward([ids], state);
    const values = [...(await logits.data())];
    logits.dispose();
    return values;
  };

  /** Reads a prompt, and stores it. */
  async function fill(cache: PrefixCache, ids: number[]): Promise<void> {
    const state = model.initialState(1);
    const logits = await next(ids, { state, logitsToKeep: 1 });
    await cache.store(ids, state, Float32Array.from(logits));
    state.dispose();
  }

  it('keep what memory drops, and what it has at the end, for the next process', () =>
    leavesNothing(async () => {
      const dir = folder();
      const prompts = [1, 2, 3, 4, 5].map((seed) => idsOf(20 + seed, seed));
      const size = new PrefixCache(LARGE);
      await fill(size, idsOf(25));
      const cache = new PrefixCache(2.5 * size.usedBytes, await open(dir));
      for (const prompt of prompts) await fill(cache, prompt);
      await cache.flush();
      expect(filesIn(dir)).to.have.length(5);
      const later = new PrefixCache(LARGE, await open(dir));
      for (const prompt of prompts) {
        const whole = await later.find(prompt);
        expect(whole?.tokens).to.equal(prompt.length);
        const ids = [7, 8, 9];
        const alone = await next([...prompt, ...ids], { logitsToKeep: 1 });
        const found = await next(ids, { state: whole?.state, logitsToKeep: 1 });
        expect(found).to.deep.equal(alone);
        whole?.state.dispose();
        const logits = await next(prompt, { logitsToKeep: 1 });
        expect([...(whole?.logits ?? [])]).to.deep.equal(logits);
        const longer = await later.find([...prompt, 3]);
        expect(longer?.tokens).to.equal(prompt.length);
        longer?.state.dispose();
      }
      expect(await later.find(idsOf(15, 1))).to.equal(undefined);
    }));

  it('work without a cache in memory', async () => {
    const dir = folder();
    const cache = new PrefixCache(0, await open(dir));
    expect(cache.isOn).to.equal(true);
    await fill(cache, idsOf(9));
    await cache.flush();
    const found = await cache.find(idsOf(12));
    expect(found?.tokens).to.equal(9);
    found?.state.dispose();
    expect(cache.usedBytes).to.equal(0);
  });

  it('are removed by their last use, those of other models too', async () => {
    const dir = folder();
    const measured = new PrefixCache(0, await open(dir, LARGE, 'other'));
    await fill(measured, idsOf(10));
    await measured.flush();
    const [old = ''] = filesIn(dir, 'other');
    const { size } = statSync(join(dir, 'other', old));
    const cache = new PrefixCache(0, await open(dir, 3.5 * size));
    const age = (name: string, seconds: number, folder = 'm') => {
      const time = Date.now() / 1000 - seconds;
      utimesSync(join(dir, folder, name), time, time);
    };
    age(old, 100, 'other');
    await fill(cache, idsOf(10, 1));
    await cache.flush();
    const [first = ''] = filesIn(dir);
    age(first, 50);
    await fill(cache, idsOf(10, 2));
    await cache.flush();
    const [second = ''] = filesIn(dir).filter((name) => name !== first);
    age(second, 40);
    const used = await cache.find(idsOf(10, 1)); // now the second one is the oldest here
    used?.state.dispose();
    await fill(cache, idsOf(10, 3));
    await cache.flush();
    expect(filesIn(dir, 'other')).to.deep.equal([]);
    expect(filesIn(dir)).to.have.length(3);
    await fill(cache, idsOf(10, 4));
    await cache.flush();
    expect(filesIn(dir)).to.have.length(3).and.include(first).and.not.include(second);
    expect(await cache.find(idsOf(10, 2)), 'removed').to.equal(undefined);
  });

  it('that are damaged, or of something else, are removed', async () => {
    const dir = folder();
    const cache = new PrefixCache(0, await open(dir));
    for (const seed of [1, 2, 3]) await fill(cache, idsOf(10, seed));
    await cache.flush();
    const [a = '', b = '', c = ''] = filesIn(dir).map((name) => join(dir, 'm', name));
    const bytes = readFileSync(a);
    writeFileSync(b, bytes.subarray(0, bytes.length - 5));
    writeFileSync(c, 'text');
    mkdirSync(join(dir, 'n'));
    writeFileSync(join(dir, 'n', 'x.safetensors'), bytes); // of model m
    const files = await open(dir);
    expect(filesIn(dir)).to.have.length(1);
    await open(dir, LARGE, 'n');
    expect(filesIn(dir, 'n')).to.deep.equal([]);
    writeFileSync(a, 'damaged later');
    const found = await Promise.all([1, 2, 3].map((seed) => files.read(idsOf(10, seed), false)));
    expect(found).to.deep.equal([undefined, undefined, undefined]);
  });

  it('that cannot be written are told of, and lose nothing else', async () => {
    const dir = folder();
    const errors: unknown[] = [];
    const files = await open(dir);
    const cache = new PrefixCache(0, files, (error) => errors.push(error));
    const { rmSync } = await import('node:fs');
    rmSync(dir, { recursive: true });
    writeFileSync(dir, 'a file now');
    await fill(cache, idsOf(5));
    await cache.flush();
    expect(errors).to.have.length(1);
    rmSync(dir);
  });

  it('in a folder that cannot be created are refused', async () => {
    const file = join(folder(), 'file');
    writeFileSync(file, '');
    for (const dir of [
      file,
      join(file, 'below'),
      ...(existsSync('/proc/1') ? ['/proc/rene'] : []),
    ]) {
      const error: unknown = await open(dir).catch((e) => e);
      expect(error, dir).to.have.property('name', 'FileError');
    }
  });
});
