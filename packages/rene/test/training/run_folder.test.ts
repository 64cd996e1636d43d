import { fork } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tinyByteLevelJson } from '@rene-js/testing';
import { expect } from 'chai';
import { FileError } from '../../src/errors.js';
import { withRunFolder } from '../../src/training/run_folder.js';
import { tokenizerFor } from '../../src/training/text_files.js';
import { train } from '../../src/training/trainer.js';
import { TrainingError } from '../../src/training/training_error.js';
import type { TrainOptions } from '../../src/training/training_settings.js';
import { smallModel, smallText } from './small_model.js';

const CHILD = fileURLToPath(new URL('./kill_child.js', import.meta.url));

describe('the folder of a training run', () => {
  let dir = '';
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-run-folder-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  const options = (outDir: string): TrainOptions => ({
    outDir,
    steps: 2,
    batchSize: 2,
    rowLength: 8,
    learningRate: 1e-2,
    warmupSteps: 3,
    evaluateEvery: 2,
    checkpointEvery: 1,
  });

  async function failure(run: Promise<unknown>): Promise<Error> {
    const error = await run.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (error instanceof Error) return error;
    throw new Error('it did not fail');
  }

  it('is locked by one process; a dead one’s lock is taken over', async function () {
    this.timeout(60_000);
    const child = fork(CHILD, [dir, '100000'], { silent: true });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    await writeFile(join(dir, `model.safetensors.${child.pid}.abc.tmp`), 'half');
    const model = await smallModel();
    const text: [ReturnType<typeof smallText>, ReturnType<typeof smallText>] = [
      smallText(40),
      smallText(3),
    ];
    const error = await failure(train(model, ...text, options(dir)));
    expect(error).to.be.instanceOf(TrainingError);
    expect(error.message).to.match(
      new RegExp(
        `^${dir}: process ${child.pid} is training there\\. Wait until it ends, or choose`,
      ),
    );
    expect(await readdir(dir)).to.include(`model.safetensors.${child.pid}.abc.tmp`);
    // The first run continues.
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    child.kill('SIGKILL');
    await ended;
    expect(await readdir(dir)).to.include('training.lock');
    const report = await train(model, ...text, options(dir));
    expect(report.finished).to.equal(true);
    expect((await readdir(dir)).filter((name) => /lock|tmp/.test(name))).to.deep.equal([]);
    model.dispose();
  });

  it('cannot be shared by two runs of one process', async () => {
    let error: Error | undefined;
    await withRunFolder(dir, async () => {
      error = await failure(withRunFolder(dir, async () => {}));
    });
    expect(error?.message).to.contain(`process ${process.pid} is training there`);
    await withRunFolder(dir, async () => {});
  });

  it('must not contain a model, or other files of the same names', async () => {
    const model = await smallModel();
    const text = [smallText(40), smallText(3)] as const;
    const own = new Map([['tokenizer.json', Buffer.from('mine')]]);
    for (const name of ['model.safetensors', 'pytorch_model.bin', 'adapter_model.safetensors']) {
      const taken = join(dir, name.slice(0, 5));
      await mkdir(taken);
      await writeFile(join(taken, name), 'weights');
      const error = await failure(train(model, ...text, options(taken)));
      expect(error).to.be.instanceOf(TrainingError);
      expect(error.message)
        .to.contain(`contains a model (${name})`)
        .and.to.contain('another folder');
      expect(await readdir(taken)).to.deep.equal([name]);
    }
    const other = join(dir, 'other');
    await mkdir(other);
    await writeFile(join(other, 'tokenizer.json'), 'yours');
    const error = await failure(train(model, ...text, { ...options(other), files: own }));
    expect(error.message).to.match(/other\/tokenizer\.json differs from this run's file/);
    expect(await readFile(join(other, 'tokenizer.json'), 'utf8')).to.equal('yours');
    await writeFile(join(other, 'tokenizer.json'), 'mine');
    await train(model, ...text, { ...options(other), files: own });
    expect(await readdir(other)).to.include.members(['tokenizer.json', 'model.safetensors']);
    model.dispose();
  });

  it('gives a new run no tokenizer that was left in it', async () => {
    const texts = ['a sea', 'a sea weed', 'a weed'];
    const { tokenizer } = await tokenizerFor(join(dir, 'new'), texts, 270);
    await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(tinyByteLevelJson()));
    const found = await tokenizerFor(dir, texts, 270);
    expect(found.tokenizer.encode('a sea weed')).to.deep.equal(tokenizer.encode('a sea weed'));
    expect(found.tokenizer.vocabSize).to.equal(tokenizer.vocabSize);
  });

  it('is not made for a text that is smaller than a batch', async () => {
    const model = await smallModel();
    const run = options(join(dir, 'new'));
    const large = { ...run, batchSize: 500, rowLength: 64 };
    const error = await failure(train(model, smallText(4), smallText(3), large));
    expect(error.message).to.match(/rows of 64 tokens, fewer than one batch of 500/);
    expect(await readdir(dir)).to.deep.equal([]);
    model.dispose();
  });

  it('is named if it cannot be created', async () => {
    await writeFile(join(dir, 'file'), '');
    const path = join(dir, 'file', 'run');
    const error = await failure(withRunFolder(path, async () => {}));
    expect(error).to.be.instanceOf(FileError);
    expect(error.message).to.match(/file\/run: cannot be written: .*expected a folder/);
  });
});
