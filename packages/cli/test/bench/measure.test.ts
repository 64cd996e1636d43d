// The progress of a measurement.
import { useBackend } from '@rene-js/layers';
import { tinyConfig } from '@rene-js/rene/training';
import { expect } from 'chai';
import { measure } from '../../src/bench/measure.js';
import { randomModel } from '../../src/bench/random_model.js';

describe('measure', () => {
  it('reports its progress up to the end', async () => {
    await useBackend('cpu');
    const model = await randomModel(tinyConfig(300), { format: 'f32' });
    const seen: [done: number, total: number][] = [];
    const options = { prompt: 5, tokens: 3, batch: 1, repeat: 2 };
    await measure(model, 0.1, options, (done, total) => seen.push([done, total]));
    model.dispose();
    const [, total = 0] = seen[0] ?? [];
    expect(total).to.equal(5 + 3 + 2 * (5 + 3));
    expect(seen.at(-1)).to.deep.equal([total, total]);
    expect(seen.map(([done]) => done)).to.deep.equal(
      seen.map(([done]) => done).sort((a, b) => a - b),
    );
    expect(seen.length).to.be.above(6);
  });
});
