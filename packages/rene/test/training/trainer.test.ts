import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidArgumentError } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { FileError, type ForwardOptions, ReneLMHeadModel } from '../../src/index.js';
import { evaluate } from '../../src/training/evaluate.js';
import { lossAndGradients, summedLoss } from '../../src/training/gradients.js';
import { LoraAdapter } from '../../src/training/lora.js';
import { learningRateAt } from '../../src/training/schedule.js';
import { epochRows, TokenRows } from '../../src/training/token_dataset.js';
import { train } from '../../src/training/trainer.js';
import { TrainingError } from '../../src/training/training_error.js';
import type { StepReport, TrainOptions } from '../../src/training/training_settings.js';
import { stateFile } from '../../src/training/training_state.js';
import { smallModel, smallText, VOCAB_SIZE } from './small_model.js';

const training = smallText(40);
const heldOut = smallText(6, 3);

const options: Omit<TrainOptions, 'outDir'> = {
  steps: 12,
  batchSize: 4,
  rowLength: 8,
  accumulate: 2,
  learningRate: 1e-2,
  warmupSteps: 3,
  evaluateEvery: 5,
  checkpointEvery: 4,
};

describe('train', () => {
  let dir = '';
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-train-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('learns, and writes a model folder and its curve without leaking tensors', async () => {
    const model = await smallModel();
    const tensors = tf.memory().numTensors;
    const before = await evaluate(model, heldOut, { rowLength: 8, batchSize: 4 });
    expect(before.loss).to.be.closeTo(Math.log(VOCAB_SIZE), 0.5);
    const report = await train(model, training, heldOut, { ...options, outDir: dir, steps: 40 });
    expect(report).to.include({ step: 40, finished: true });
    expect(report.bestBitsPerByte).to.be.below(before.bitsPerByte * 0.8);
    expect(tf.memory().numTensors).to.equal(tensors);
    model.dispose();

    const lines = (await readFile(`${dir}/loss.csv`, 'utf8')).trim().split('\n');
    expect(lines).to.have.length(41);
    expect(lines.filter((line) => line.split(',')[5] !== '')).to.have.length(1 + 8);
    expect(await readFile(`${dir}/loss.svg`, 'utf8')).to.match(/^<svg.*polyline.*<\/svg>\n$/s);
    const saved = await ReneLMHeadModel.fromPretrained(dir, { backend: 'simd' });
    const after = await evaluate(saved, heldOut, { rowLength: 8, batchSize: 4 });
    expect(after.bitsPerByte).to.be.closeTo(report.bestBitsPerByte ?? 0, 1e-6);
    saved.dispose();
  });

  it('keeps the best model by held-out text, or the last', async () => {
    const rising = { ...options, steps: 40, warmupSteps: 40, learningRate: 0.5 };
    for (const keep of ['best', 'last'] as const) {
      const model = await smallModel();
      const outDir = `${dir}/${keep}`;
      const measured: number[] = [];
      const onEvaluation = ({ bitsPerByte }: { bitsPerByte: number }) => measured.push(bitsPerByte);
      await train(model, training, heldOut, { ...rising, outDir, keep, onEvaluation });
      model.dispose();
      const last = measured.at(-1) ?? 0;
      const best = Math.min(...measured);
      expect(last).to.be.above(best * 1.1);
      const saved = await ReneLMHeadModel.fromPretrained(outDir, { backend: 'simd' });
      const { bitsPerByte } = await evaluate(saved, heldOut, { rowLength: 8, batchSize: 4 });
      expect(bitsPerByte).to.be.closeTo(keep === 'best' ? best : last, 1e-6);
      saved.dispose();
    }
  });

  it('keeps the other model if a finished or stopped run is asked for it', async () => {
    const rising = { ...options, steps: 40, warmupSteps: 40, learningRate: 0.5, outDir: dir };
    const measured: number[] = [];
    const onEvaluation = ({ bitsPerByte }: { bitsPerByte: number }) => measured.push(bitsPerByte);
    const run = async (more: Partial<TrainOptions>) => {
      const model = await smallModel('test', 'cpu');
      await train(model, training, heldOut, { ...rising, onEvaluation, ...more });
      model.dispose();
    };
    const savedLoss = async () => {
      const saved = await ReneLMHeadModel.fromPretrained(dir, { backend: 'cpu' });
      const { bitsPerByte } = await evaluate(saved, heldOut, { rowLength: 8, batchSize: 4 });
      saved.dispose();
      return bitsPerByte;
    };
    const stop = new AbortController();
    const onStep = ({ step }: { step: number }) => step === 30 && stop.abort();
    await run({ keep: 'last', onStep, signal: stop.signal });
    const [beforeLast = 0, last = 0] = measured.slice(-2);
    expect(last).to.be.above(beforeLast);
    expect(await savedLoss()).to.be.closeTo(last, 1e-6);
    // The model on disk is not the best so far. A better one than it replaces it.
    await run({ keep: 'best' });
    expect(await savedLoss()).to.be.closeTo(Math.min(...measured.slice(-3)), 1e-6);
    await run({ keep: 'last' });
    expect(measured).to.have.length(9);
    expect(await savedLoss()).to.be.closeTo(measured[7] ?? 0, 1e-6);
  });

  it('ends with the same weights after a stop and resumption', async () => {
    const whole = await smallModel();
    await train(whole, training, heldOut, { ...options, outDir: `${dir}/whole` });
    for (const stopAt of [1, 4, 7]) {
      const outDir = `${dir}/stopped-${stopAt}`;
      const first = await smallModel();
      const stop = new AbortController();
      const onStep = ({ step }: { step: number }) => step === stopAt && stop.abort();
      const { finished } = await train(first, training, heldOut, {
        ...options,
        outDir,
        onStep,
        signal: stop.signal,
      });
      expect(finished).to.equal(false);
      first.dispose();
      // Other initial weights: all weights must come from the checkpoint.
      const second = await smallModel('another');
      await train(second, training, heldOut, { ...options, outDir });
      await expectSameWeights(second, whole);
      const timeless = async (path: string) =>
        (await readFile(`${path}/loss.csv`, 'utf8')).replace(/,[\d.]+$/gm, '');
      expect(await timeless(outDir)).to.equal(await timeless(`${dir}/whole`));
      second.dispose();
    }
    whole.dispose();
  });

  it('resumes from the last complete checkpoint after a crash', async () => {
    const whole = await smallModel();
    await train(whole, training, heldOut, { ...options, outDir: `${dir}/whole` });
    const outDir = `${dir}/crashed`;
    const crash = await smallModel();
    const onStep = ({ step }: { step: number }) => {
      if (step === 7) throw new Error('power cut');
    };
    const crashed = train(crash, training, heldOut, { ...options, outDir, onStep });
    expect(await crashed.catch((error: Error) => error.message)).to.equal('power cut');
    // Left by a killed process: an incomplete file, an incomplete line.
    await writeFile(`${stateFile(outDir)}.123.abc.tmp`, 'half a checkpo');
    await writeFile(`${outDir}/loss.csv`, `${await readFile(`${outDir}/loss.csv`, 'utf8')}7,12`);
    await train(crash, training, heldOut, { ...options, outDir });
    await expectSameWeights(crash, whole);
    whole.dispose();
    crash.dispose();
  });

  it('resumes with more steps, on the schedule of the new number', async () => {
    const model = await smallModel();
    const rates: [step: number, rate: number][] = [];
    const settings = { ...options, outDir: dir, warmupSteps: 1, learningRate: 1e-3 };
    for (const steps of [4, 8]) {
      const report = await train(model, training, heldOut, {
        ...settings,
        steps,
        onStep: ({ step, learningRate }) => rates.push([step, learningRate]),
      });
      expect([report.step, report.finished]).to.deep.equal([steps, true]);
    }
    const expected = [1, 2, 3, 4, 5, 6, 7, 8].map((step) => {
      const schedule = { ...settings, minLearningRate: 1e-4, steps: step <= 4 ? 4 : 8 };
      return [step, learningRateAt(step - 1, schedule)];
    });
    expect(rates).to.deep.equal(expected);
    model.dispose();
  });

  it('resumes with more steps and keeps its warm-up', async () => {
    const model = await smallModel();
    const { warmupSteps: _, ...short } = { ...options, outDir: dir };
    const rates = new Map<number, number>();
    const onStep = ({ step, learningRate }: StepReport) => rates.set(step, learningRate);
    await train(model, training, heldOut, { ...short, steps: 20, onStep });
    const report = await train(model, training, heldOut, { ...short, steps: 30, onStep });
    expect([report.step, report.finished]).to.deep.equal([30, true]);
    const schedule = { learningRate: 1e-2, minLearningRate: 1e-3, warmupSteps: 2 };
    for (const [step, steps] of [
      [1, 20],
      [2, 20],
      [20, 20],
      [21, 30],
      [30, 30],
    ] as const) {
      expect(rates.get(step)).to.equal(learningRateAt(step - 1, { ...schedule, steps }));
    }
    // Fewer are done already.
    const fewer = await train(model, training, heldOut, { ...short, steps: 10 });
    expect(fewer).to.include({ step: 30, finished: true });
    model.dispose();
  });

  it('refuses to resume with other settings, text or sizes', async () => {
    const model = await smallModel();
    await train(model, training, heldOut, { ...options, outDir: dir, steps: 2, warmupSteps: 1 });
    const other = { ...options, outDir: dir, steps: 3, warmupSteps: 2 };
    const error = await rejection(train(model, training, heldOut, other));
    expect(error).to.be.instanceOf(TrainingError);
    expect(error.message).to.match(/warmupSteps 1 there, 2 here/);
    const text = train(model, smallText(41), heldOut, { ...other, warmupSteps: 1 });
    expect((await rejection(text)).message).to.match(/trainingText/);
    model.dispose();
  });

  it('stops a diverging run and keeps its checkpoint', async () => {
    const model = await smallModel();
    const wild = { ...options, outDir: dir, steps: 200, learningRate: 1e4, clipNorm: 1e9 };
    const error = await rejection(train(model, training, heldOut, { ...wild, checkpointEvery: 1 }));
    expect(error).to.be.instanceOf(TrainingError);
    expect(error.message).to.match(/diverged at step \d+.*checkpoint in .* is from before.*rate/s);
    const files = new Map([['tokenizer.json', new Uint8Array([1])]]);
    const early = {
      ...wild,
      outDir: join(dir, 'early'),
      checkpointEvery: 100,
      evaluateEvery: 100,
      files,
    };
    const soon = await rejection(train(model, training, heldOut, early));
    expect(soon.message).to.match(/There is no checkpoint yet\. Start again with/);
    expect(await readdir(early.outDir)).to.deep.equal(['loss.csv']);
    model.dispose();
  });

  it("writes the model's files once the run can be resumed, not earlier", async () => {
    const model = await smallModel();
    const files = new Map([['tokenizer.json', Buffer.from('{}')]]);
    const run = { ...options, outDir: join(dir, 'blocked'), steps: 1, files };
    // The state file cannot be renamed.
    await mkdir(join(stateFile(run.outDir), 'in the way'), { recursive: true });
    expect(await rejection(train(model, training, heldOut, run))).to.be.instanceOf(FileError);
    expect((await readdir(run.outDir)).sort()).to.deep.equal([
      'loss.csv',
      'training_state.safetensors',
    ]);
    const late = { ...run, outDir: join(dir, 'late') };
    await train(model, training, heldOut, late);
    await rm(join(late.outDir, 'tokenizer.json'));
    await train(model, training, heldOut, late);
    expect(await readFile(join(late.outDir, 'tokenizer.json'), 'utf8')).to.equal('{}');
    model.dispose();
  });

  it('skips an epoch without a whole batch', async () => {
    const model = await smallModel();
    const text = smallText(12, 0, ['ab', 'abcdefg', 'abcd', 'abcdef', 'abc']);
    const counts = (seed: string) =>
      [0, 1, 2, 3].map((epoch) => epochRows(text, 16, seed, epoch).count);
    // The order of the documents determines the number of rows.
    const seed = Array.from({ length: 100 }, (_, i) => `seed ${i}`).find((name) => {
      const [first = 0, ...others] = counts(name);
      return others.some((count) => count < first);
    });
    const [batchSize = 0] = counts(seed ?? '');
    expect(seed).not.to.equal(undefined);
    const run = {
      ...options,
      outDir: dir,
      rowLength: 16,
      batchSize,
      accumulate: 1,
      steps: 4,
      seed,
    };
    const report = await train(model, text, heldOut, run);
    expect(report.finished).to.equal(true);
    model.dispose();
  });

  it('refuses a model that is not trainable, a text shorter than a batch, and invalid numbers', async () => {
    const model = await smallModel();
    const run = (more: Partial<TrainOptions>, text = training) =>
      rejection(train(model, text, heldOut, { ...options, outDir: dir, ...more }));
    expect((await run({}, smallText(1))).message).to.match(/fewer than one batch of 4/);
    expect(await run({ steps: 0 })).to.be.instanceOf(InvalidArgumentError);
    expect((await run({ accumulate: 3 })).message).to.match(/a divisor of 4/);
    expect((await run({ learningRate: Number.NaN })).message).to.match(/learningRate/);
    const foreign = { ...smallText(40), ids: Uint16Array.from([VOCAB_SIZE, 0]) };
    expect((await run({}, foreign)).message).to.match(/training: .* vocabulary of 28, found 28/);
    const fixed = await ReneLMHeadModel.fromConfig(model.config, { backend: 'simd' });
    const error = await rejection(train(fixed, training, heldOut, { ...options, outDir: dir }));
    expect(error.message).to.match(/trainable/);
    fixed.dispose();
    model.dispose();
  });
});

describe('lossAndGradients', () => {
  it('of micro-batches equal those of the whole batch', async () => {
    const model = await smallModel();
    const variables = model.trainableVariables;
    const rows = new TokenRows(training, 8);
    const whole = await lossAndGradients(model, variables, [rows.trainingBatch(0, 6)]);
    // Micro-batches of different sizes, whose mean losses must not be averaged.
    const parts = [rows.trainingBatch(0, 1), rows.trainingBatch(1, 3), rows.trainingBatch(4, 2)];
    const summed = await lossAndGradients(model, variables, parts);
    expect(summed.loss).to.be.closeTo(whole.loss, 1e-5);
    expect(summed.norm).to.be.closeTo(whole.norm, 1e-5);
    for (const [name, gradient] of whole.gradients) {
      const other = summed.gradients.get(name) ?? tf.scalar(0);
      const [error = 1] = await tf.max(tf.abs(tf.sub(gradient, other))).data();
      expect(error, name).to.be.below(1e-5);
    }
    tf.dispose([...whole.gradients.values(), ...summed.gradients.values()]);
    model.dispose();
  });

  it('are the same with gradient checkpointing, for the model and an adapter', async () => {
    const model = await smallModel();
    const adapter = LoraAdapter.create(model, { rank: 2 });
    for (const [name, variable] of adapter.trainableVariables) {
      // B starts at zero, so the gradient of A would be zero.
      if (!name.includes('lora_B')) continue;
      tf.tidy(() => variable.assign(tf.randomUniform(variable.shape, -0.5, 0.5, 'float32', 3)));
    }
    const batches = [new TokenRows(training, 8).trainingBatch(0, 4)];
    for (const trained of [model, adapter]) {
      const variables = trained.trainableVariables;
      const kept = await lossAndGradients(trained, variables, batches);
      const again = await lossAndGradients(trained, variables, batches, { recompute: true });
      expect(again.loss).to.be.closeTo(kept.loss, 1e-5);
      for (const [name, gradient] of kept.gradients) {
        const [a, b] = [gradient.dataSync(), again.gradients.get(name)?.dataSync()];
        expect(Math.max(...a.map(Math.abs)), name).to.be.above(0);
        expect(Math.max(...a.map((value, j) => Math.abs(value - (b?.[j] ?? 1)))), name).to.be.below(
          1e-5,
        );
      }
      tf.dispose([...kept.gradients.values(), ...again.gradients.values()]);
    }
    adapter.dispose();
    model.dispose();
  });

  it('use less memory with gradient checkpointing', async () => {
    const model = await smallModel();
    const variables = model.trainableVariables;
    const batch = new TokenRows(training, 8).trainingBatch(0, 4);
    const bytesHeld = (options: ForwardOptions) => {
      let bytes = 0;
      const before = tf.memory().numBytes;
      const loss = () => {
        const sum = tf.tidy(() => summedLoss(model, batch, options));
        bytes = tf.memory().numBytes - before;
        return sum;
      };
      tf.tidy(() => {
        tf.variableGrads(loss, [...variables.values()]);
      });
      expect(tf.memory().numBytes).to.equal(before);
      return bytes;
    };
    expect(bytesHeld({ recompute: variables })).to.be.below(bytesHeld({}) / 2);
    model.dispose();
  });
});

async function expectSameWeights(a: ReneLMHeadModel, b: ReneLMHeadModel): Promise<void> {
  const others = b.trainableVariables;
  for (const [name, variable] of a.trainableVariables) {
    const other = await others.get(name)?.data();
    expect(Array.from(await variable.data()), name).to.deep.equal(Array.from(other ?? []));
  }
}

async function rejection(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof Error) return error;
  throw new Error('it did not fail');
}
