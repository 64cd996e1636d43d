// Training on the backends with gradient kernels: losses equal those of the cpu backend.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { useBackend } from '@rene-js/layers';
import { canTestCuda, registerTestCuda } from '@rene-js/testing';
import { expect } from 'chai';
import { train } from '../../src/training/trainer.js';
import { smallModel, smallText } from './small_model.js';

describe('train, on', () => {
  let expected: number[];
  before(async () => {
    expected = await losses('cpu');
  });
  after(() => useBackend('cpu'));

  for (const backend of ['simd', ...(canTestCuda ? ['cuda'] : [])]) {
    it(backend, async () => {
      if (backend === 'cuda') await registerTestCuda();
      const found = await losses(backend);
      expect(expected).to.have.length(6);
      for (const [step, loss] of found.entries()) {
        expect(loss, `step ${step + 1}`).to.be.closeTo(expected[step] ?? 0, 2e-4);
      }
    });
  }
});

/** The loss of each step. */
async function losses(backend: string): Promise<number[]> {
  const outDir = await mkdtemp(join(tmpdir(), 'rene-train-'));
  const model = await smallModel('backends', backend);
  try {
    await train(model, smallText(40), smallText(6, 3), {
      ...{ outDir, steps: 6, batchSize: 4, rowLength: 8, accumulate: 2 },
      ...{ learningRate: 1e-2, warmupSteps: 2, evaluateEvery: 6, checkpointEvery: 6 },
    });
    const [, ...lines] = (await readFile(join(outDir, 'loss.csv'), 'utf8')).trim().split('\n');
    return lines.map((line) => Number(line.split(',')[2]));
  } finally {
    model.dispose();
    await rm(outDir, { recursive: true });
  }
}
