import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  errorOf,
  goldenPath,
  leavesNothing,
  loadGolden,
  rejection,
  testBackend,
} from '@rene-js/testing';
import { expect } from 'chai';
import { CheckpointError } from '../src/errors.js';
import { ReneLMHeadModel } from '../src/rene_model.js';
import { RecurrentState } from '../src/state.js';

describe('state files', () => {
  let model: ReneLMHeadModel;
  let dir: string;
  let path: string;
  const prompts = [Array.from({ length: 40 }, (_, i) => (i * 11) % 90), [5, 6]];
  const options = { maxNewTokens: 6, eosTokenId: null };
  before(async () => {
    model = await loadGolden('tiny-hybrid');
    dir = await mkdtemp(join(tmpdir(), 'rene-state-'));
    path = join(dir, 'a.state');
  });
  after(async () => {
    model.dispose();
    await rm(dir, { recursive: true });
  });

  it('a restored state continues exactly like the saved one, also in another process', async () => {
    await leavesNothing(async () => {
      const state = await model.prefill(prompts);
      const more = [[7], [8, 9]];
      const expected = await model.generate(more, { ...options, state });
      await state.save(path);
      state.dispose();
      const again = await loadGolden('tiny-hybrid'); // the same model, loaded again
      const restored = await again.restoreState(path);
      expect(restored.positions).to.deep.equal([40, 2]);
      const found = await again.generate(more, { ...options, state: restored });
      expect(found.sequences).to.deep.equal(expected.sequences);
      restored.dispose();
      again.dispose();
    });
    expect(await readdir(dir)).to.deep.equal(['a.state']);
  });

  it('convert between dtypes, whose KV caches are f32 or bf16', async () => {
    const load = (dtype: 'f32' | 'bf16') =>
      ReneLMHeadModel.fromPretrained(goldenPath('tiny-bf16'), { backend: testBackend, dtype });
    const exact = await load('f32');
    const rounded = await load(testBackend === 'simd' ? 'bf16' : 'f32');
    const ids = prompts[0] ?? [];
    for (const [from, to] of [
      [exact, rounded],
      [rounded, exact],
      [rounded, rounded],
    ] as const) {
      const logits = async (state: RecurrentState) => {
        const y = to.forward([[7]], { state });
        const values = Float32Array.from(await y.data());
        state.dispose();
        y.dispose();
        return values;
      };
      await leavesNothing(async () => {
        const own = await to.prefill(ids);
        const other = await from.prefill(ids);
        await other.save(path);
        other.dispose();
        const restored = await to.restoreState(path);
        expect(restored.form).to.deep.equal(own.form);
        const [expected, found] = [await logits(own), await logits(restored)];
        const errors = expected.map((v, i) => Math.abs(v - (found[i] ?? Number.NaN)));
        expect(Math.max(...errors)).to.be.at.most(from === to ? 0 : 0.02);
      });
    }
    exact.dispose();
    rounded.dispose();
  });

  it('are written as of the call of save, and replace an older file only when complete', async () => {
    await leavesNothing(async () => {
      const state = await model.prefill([1, 2, 3]);
      const saving = state.save(path);
      model.forward([[4]], { state }).dispose();
      await saving;
      const restored = await model.restoreState(path);
      expect(restored.positions).to.deep.equal([3]);
      restored.dispose();
      state.dispose();
      const before = await readFile(path);
      expect((await rejection(state.save(path))).message).to.contain('disposed');
      expect(await readFile(path)).to.deep.equal(before);
    });
  });

  it("refuse another model's state, other weights, and files that are not states", async () => {
    const state = await model.prefill([1, 2, 3]);
    await state.save(path);
    state.dispose();
    const gqa = await loadGolden('tiny-gqa');
    const error = await leavesNothing(() => rejection(gqa.restoreState(path)));
    expect(error.name).to.equal('GenerationError');
    expect(error.message).to.contain('the state of another model');
    gqa.dispose();
    const random = await ReneLMHeadModel.fromConfig(model.config, { backend: testBackend });
    expect((await rejection(random.restoreState(path))).message).to.contain('another model');
    random.dispose();
    const weights = join(dir, 'weights');
    await writeFile(weights, 'no state');
    for (const wrong of [weights, join(dir, 'absent')]) {
      const found = await leavesNothing(() => rejection(model.restoreState(wrong)));
      expect(found.name).to.equal('CheckpointError');
    }
    await rm(weights);
    const own = new RecurrentState([], [0]);
    expect((await rejection(own.save(path))).message).to.contain('does not belong to a model');
  });

  it('can be saved to and restored from a file URL; other URLs are refused, and create no folder', async () => {
    const state = await model.prefill([1, 2, 3]);
    const url = pathToFileURL(join(dir, 'with a space.state'));
    await state.save(url);
    (await model.restoreState(url.href)).dispose();
    for (const other of ['indexeddb://mine', 'https://host.example/a.state', 's3://bucket/a']) {
      for (const action of [() => state.save(other), () => model.restoreState(new URL(other))]) {
        const error = await errorOf(CheckpointError, action);
        expect(error.message).to.contain(
          `${other}: expected a state file's path or file URL; found`,
        );
      }
    }
    state.dispose();
    expect((await readdir('.')).filter((name) => name.includes(':'))).to.deep.equal([]);
  });

  it('report damage with a typed error, and leak no tensors', async () => {
    const state = await model.prefill([1, 2, 3]);
    await state.save(path);
    state.dispose();
    const bytes = await readFile(path);
    const headerLength = Number(bytes.readBigUInt64LE(0));
    const header = bytes.subarray(8, 8 + headerLength).toString();
    const withHeader = (text: string) => {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(text.length));
      return Buffer.concat([length, Buffer.from(text), bytes.subarray(8 + headerLength)]);
    };
    const damages = {
      'cut short': bytes.subarray(0, bytes.length - 100),
      positions: withHeader(header.replace('[3]', '[x]')),
      'keys and values of different numbers': withHeader(
        header.replace(/(\.k":.*?"shape":\[1,)(\d+),(\d+)/, (_, start, slots, heads) => {
          return `${start}${slots / 2},${heads * 2}`;
        }),
      ),
      'another batch': withHeader(header.replace('[3]', '[3,3]')),
      'a tensor missing': withHeader(header.replace('0.convState', '0.convStats')),
      'another format': withHeader(header.replace('rene-state-1', 'rene-state-9')),
    };
    for (const [name, damaged] of Object.entries(damages)) {
      await writeFile(path, damaged);
      const error = await leavesNothing(() => rejection(model.restoreState(path)));
      expect(error.name, name).to.be.oneOf(['CheckpointError', 'GenerationError']);
    }
  });
});
