// quantize and convert never write over a user's files, nor hide a model by a folder of its name.
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errorOf, golden, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { checkNotSame, checkOutFolder, removeStale } from '../../src/commands/out_folder.js';
import { UsageError } from '../../src/commands/report_error.js';
import { runInProcess } from '../run_in_process.js';

const MODEL = golden('tiny-options');

/** All files of a folder with their content. */
function contentOf(dir: string): Record<string, string> {
  const names = readdirSync(dir).sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(dir, name), 'latin1')]));
}

describe('the output folder of quantize and convert', () => {
  const folder = temporaryFolders();

  it('cannot be the model itself, under any path, even with --force', async () => {
    const dir = join(folder(), 'model');
    cpSync(MODEL, dir, { recursive: true });
    const before = contentOf(dir);
    const link = join(folder(), 'link');
    symlinkSync(dir, link);
    const linkOfLink = join(folder(), 'again');
    symlinkSync(link, linkOfLink);
    const parent = join(folder(), 'parent');
    symlinkSync(dirname(dir), parent);
    const spellings = [
      dir,
      `${dir}/`,
      `${dir}/../model/.`,
      link,
      `${link}/`,
      linkOfLink,
      join(parent, 'model'),
    ];
    for (const out of spellings) {
      for (const from of [dir, link]) await errorOf(UsageError, () => checkNotSame(from, out));
    }
    await checkNotSame(dir, join(dir, 'inside'));
    await checkNotSame(dir, dirname(dir));
    for (const [verb, ...more] of [
      ['quantize', '--dtype', 'int4'],
      ['convert', '--dtype', 'bf16'],
    ]) {
      const run = await runInProcess([`${verb}`, dir, link, '--force', ...more]);
      expect(run).to.include({ code: 2, stdout: '' });
      expect(run.stderr).to.contain('it is the folder of the input model');
    }
    expect(contentOf(dir)).to.deep.equal(before);
  });

  it('must not contain a model, unless --force replaces it', async () => {
    const files = [
      'config.json',
      'model.safetensors',
      'pytorch_model.bin',
      'model-00001-of-00002.safetensors',
      'model.safetensors.index.json',
      'tokenizer.json',
      'generation_config.json',
      'adapter_model.safetensors',
      'weights.gguf',
    ];
    for (const name of files) {
      const out = folder();
      writeFileSync(join(out, name), 'mine');
      const error = await errorOf(UsageError, () => checkOutFolder(MODEL, out, false));
      expect(error.message)
        .to.contain(`it already contains a model (${name})`)
        .and.contain('--force');
      await checkOutFolder(MODEL, out, true);
    }
    const others = folder();
    for (const name of ['README.md', 'notes.json', 'data.txt']) {
      writeFileSync(join(others, name), 'mine');
    }
    await checkOutFolder(MODEL, others, false);
    await checkOutFolder(MODEL, join(others, 'new'), false);
    const file = await errorOf(UsageError, () =>
      checkOutFolder(MODEL, join(others, 'data.txt'), false),
    );
    expect(file.message).to.contain('expected a folder, found a file');
  });

  it('is unchanged without --force, and keeps nothing of the replaced model', async () => {
    const out = folder();
    cpSync(golden('tiny-gqa'), out, { recursive: true });
    for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json']) {
      writeFileSync(join(out, name), '{"of": "another model"}');
    }
    writeFileSync(join(out, 'README.md'), 'mine');
    const before = contentOf(out);
    for (const verb of ['quantize', 'convert']) {
      const run = await runInProcess([verb, MODEL, out]);
      expect(run).to.include({ code: 2, stdout: '' });
    }
    expect(contentOf(out)).to.deep.equal(before);
    for (const verb of ['convert', 'quantize']) {
      for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json']) {
        writeFileSync(join(out, name), '{"of": "another model"}');
      }
      const run = await runInProcess([verb, MODEL, out, '--force']);
      expect(run).to.include({ code: 0, stdout: `${out}\n` });
      const names = readdirSync(out);
      expect(names).to.include.members(['README.md', 'config.json', 'model.safetensors']);
      expect(
        names.filter((name) => /^tokenizer|^generation/.test(name)),
        verb,
      ).to.deep.equal([]);
    }
    const config: unknown = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
    const own: unknown = JSON.parse(readFileSync(join(MODEL, 'config.json'), 'utf8'));
    expect(config).to.have.property('d_model', Reflect.get(Object(own), 'd_model'));
  });

  it('keeps the written tokenizer and other files', async () => {
    const out = folder();
    for (const name of ['tokenizer.json', 'generation_config.json']) {
      writeFileSync(join(out, name), '{}');
    }
    await removeStale(out, ['tokenizer.json']);
    expect(readdirSync(out)).to.deep.equal(['tokenizer.json']);
  });

  it('hides neither the included model nor a hub model', async () => {
    const cwd = process.cwd();
    const dir = folder();
    const link = join(folder(), 'link');
    symlinkSync(dir, link);
    process.chdir(dir);
    try {
      for (const out of [
        'rene-tiny',
        './rene-tiny',
        'rene-tiny/',
        'x/../rene-tiny',
        `../${basename(dir)}/rene-tiny`,
        join(dir, 'rene-tiny'),
        join(link, 'rene-tiny'),
      ]) {
        for (const model of ['rene-tiny', MODEL]) {
          const error = await errorOf(UsageError, () => checkOutFolder(model, out, true));
          expect(error.message).to.contain('would hide the model that is included');
        }
      }
      for (const out of ['some-lab/model', './some-lab/model/', join(link, 'some-lab', 'model')]) {
        const error = await errorOf(UsageError, () => checkOutFolder('some-lab/model', out, true));
        expect(error.message).to.contain("would hide the hub model, 'some-lab/model'");
      }
      await checkOutFolder('some-lab/model', 'some-lab/model-int8', false);
      await checkOutFolder('rene-tiny', 'rene-tiny-int8', false);
      await checkOutFolder('rene-tiny', 'models/rene-tiny', false);
      mkdirSync('own');
      await checkOutFolder('own', 'other', false);
    } finally {
      process.chdir(cwd);
    }
  });
});
