// Compiled decode on 'webgpu' that starts a step before the tokens of the last one are read.
import { AttentionState, Mamba2State } from '@rene-js/layers';
import type { DecodeStep, SamplingParams } from '@rene-js/layers/internal';
import { webGpuInfo } from '@rene-js/layers/webgpu';
import { currentGpuDevice, goldenPath, skipWithoutWebGpu } from '@rene-js/testing';
import { expect } from 'chai';
import { generate } from '../../src/generation/generate.js';
import type { GenerationModel } from '../../src/generation/generation_model.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';

const greedy: SamplingParams = { random: 0, temperature: 0, topK: 0, topP: 1, minP: 0 };

/** The values of a row's states. */
async function stateValues(step: DecodeStep, row: number): Promise<number[][]> {
  const states = step.statesOf(row);
  const tensors = states.flatMap((state) => {
    if (state instanceof Mamba2State) return [state.conv, state.ssm];
    return state instanceof AttentionState ? [state.k, state.v] : [];
  });
  const values = await Promise.all(tensors.map(async (tensor) => [...(await tensor.data())]));
  for (const state of states) state?.dispose();
  return values;
}

describe('webgpu: a step ahead of the tokens that are read', () => {
  before(skipWithoutWebGpu);
  let model: ReneLMHeadModel;
  before(async () => {
    model = await ReneLMHeadModel.fromPretrained(goldenPath('tiny-gqa'), { backend: 'webgpu' });
  });
  after(() => model?.dispose());

  function stepOf(rows: number) {
    const step = model.compileStep(rows);
    const { sample } = step ?? {};
    if (!step || !sample) throw new Error('webgpu compiles steps that sample');
    const state = model.initialState(1);
    for (let row = 0; row < rows; row++) step.join(state.layers, 0, 0);
    state.dispose();
    const next = async (tokens: number[], ahead: boolean) => {
      const before = webGpuInfo().launches;
      const params = tokens.map(() => greedy);
      const ids = await sample.call(step, tokens, params, ahead ? params : undefined);
      return { ids, steps: (webGpuInfo().launches - before) / step.kernels() };
    };
    return { step, next };
  }

  it('is encoded with the step before it, and gives the same tokens as one that waits', async () => {
    const waits = stepOf(3);
    const runs = stepOf(3);
    let tokens = [3, 50, 7];
    const steps = [];
    for (const ahead of [true, true, true, false, true]) {
      const expected = await waits.next(tokens, false);
      const found = await runs.next(tokens, ahead);
      expect(found.ids).to.deep.equal(expected.ids);
      steps.push(found.steps);
      tokens = found.ids;
    }
    expect(steps).to.deep.equal([2, 1, 1, 0, 2]);
    expect(waits.step.positions).to.deep.equal([5, 5, 5]);
    expect(runs.step.positions, 'of the step ahead').to.deep.equal([6, 6, 6]);
    await waits.next(tokens, false);
    for (const row of [0, 2]) {
      expect(await stateValues(runs.step, row)).to.deep.equal(await stateValues(waits.step, row));
    }
    const wrong = await runs.next([1, 2, 3], false).catch(String);
    expect(wrong).to.match(/expected those that were sampled before the step ahead/);
    for (const { step } of [waits, runs]) step.dispose();
  });

  it('a greedy token is one command buffer and no upload', async () => {
    const { step, next } = stepOf(2);
    const { queue } = currentGpuDevice();
    let { ids } = await next([3, 50], true);
    const calls: string[] = [];
    const watched = ['submit', 'writeBuffer'] as const;
    for (const name of watched) {
      const call: (...args: never[]) => unknown = queue[name].bind(queue);
      Object.defineProperty(queue, name, {
        value: (...args: never[]) => {
          calls.push(name);
          return call(...args);
        },
        configurable: true,
      });
    }
    try {
      for (let i = 0; i < 3; i++) ({ ids } = await next(ids, true));
      expect(calls).to.deep.equal(['submit', 'submit', 'submit']);
    } finally {
      for (const name of watched) Reflect.deleteProperty(queue, name);
      step.dispose();
    }
  });

  it('stays right when sequences leave, in any order', async () => {
    for (const leaving of [0, 1, 2, 3]) {
      const waits = stepOf(4);
      const runs = stepOf(4);
      let tokens = [3, 50, 7, 21];
      for (let i = 0; i < 5; i++) {
        const expected = await waits.next(tokens, false);
        // The last steps wait: rows that have moved meanwhile have their own tokens.
        const found = await runs.next(tokens, i < 3);
        expect(found.ids).to.deep.equal(expected.ids);
        tokens = found.ids;
        if (i !== 1 && i !== 2) continue;
        const row = Math.min(leaving, tokens.length - 1);
        for (const { step } of [waits, runs]) step.leave(row);
        const last = tokens.pop();
        if (row < tokens.length && last !== undefined) tokens[row] = last;
      }
      for (const { step } of [waits, runs]) step.dispose();
    }
  });

  it('generate gives what forward gives, for sequences that end at their own times', async () => {
    const plain: GenerationModel = {
      config: model.config,
      forward: model.forward.bind(model),
      initialState: model.initialState.bind(model),
    };
    let ahead = 0;
    const watched: GenerationModel = {
      ...plain,
      compileStep: (batch, vocabSize) => {
        const step = model.compileStep(batch, vocabSize);
        const sample = step?.sample?.bind(step);
        if (step && sample) {
          step.sample = (tokens, params, after) => {
            if (after) ahead++;
            return sample(tokens, params, after);
          };
        }
        return step;
      },
    };
    const prompts = [[1, 2, 3], [4, 5], [13]];
    // A quarter of the vocabulary ends a sequence.
    const eosTokenId = Array.from({ length: 19 }, (_, i) => 4 * i);
    for (const options of [
      { eosTokenId: null, maxNewTokens: 5 },
      { eosTokenId, maxNewTokens: 9, temperature: 1.5, numReturnSequences: 2, seed: 'a' },
      { eosTokenId, maxNewTokens: 9, temperature: 1.5, topK: 30, seed: 4 },
    ]) {
      ahead = 0;
      const found = await generate(watched, prompts, options);
      const expected = await generate(plain, prompts, options);
      expect(found.sequences).to.deep.equal(expected.sequences);
      expect(found.finishReasons).to.deep.equal(expected.finishReasons);
      expect(ahead).to.be.above(1);
    }
    ahead = 0;
    const { state } = await generate(watched, prompts, { maxNewTokens: 3, returnState: true });
    expect(ahead, 'a step ahead would advance the state').to.equal(0);
    expect(state?.positions).to.deep.equal([5, 4, 3]);
    state?.dispose();
  });
});
