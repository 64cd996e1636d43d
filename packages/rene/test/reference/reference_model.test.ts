// The reference model computes the original's results in every golden folder.

import {
  at,
  golden,
  type Numbers,
  ReferenceRow,
  range,
  readTensors,
  referenceLoss,
  type Step,
} from '@rene-js/testing';
import { expect } from 'chai';
import { readConfig } from '../../src/checkpoint/read_config.js';

/** The goldens are float64 results written as float32. */
const rounding = 1e-5;

describe('reference model', () => {
  for (const name of ['tiny-hybrid', 'tiny-gqa', 'tiny-options', 'tiny-mamba2', 'tiny-bf16']) {
    it(`computes ${name}`, async () => {
      const folder = golden(name);
      const config = await readConfig(folder);
      const model = await readTensors(`${folder}/model.safetensors`);
      const weights = new Map(
        [...model].map(([key, { values }]) => [key, Float64Array.from(values)]),
      );
      const blocks = await readTensors(`${folder}/golden.safetensors`);
      const block = (key: string) => blocks.get(key) ?? { shape: [], values: [] };
      const [batch = 0, length = 0] = block('input_ids').shape;
      const decoded = block('decode.input_ids').shape[1] ?? 0;
      const ids = rowsOf(block('input_ids').values, batch);

      const readers = range(batch).map(() => new ReferenceRow(config, weights));
      const prefill = readers.map((reader, row) => (ids[row] ?? []).map((id) => reader.step(id)));
      for (const [key, { values }] of blocks) {
        if (!key.startsWith('hidden.')) continue;
        const hidden = prefill.flat().flatMap((step) => step.hidden.get(key.slice(7)) ?? []);
        expectClose(hidden, values, key);
      }
      expectClose(logitsOf(prefill), block('logits').values, 'logits');

      const next = rowsOf(block('decode.input_ids').values, batch);
      const steps = readers.map((reader, row) => (next[row] ?? []).map((id) => reader.step(id)));
      expectClose(logitsOf(steps), block('decode.logits').values, 'decode.logits');
      expect(decoded).to.equal(24);
      readers[0]?.memories.forEach((memory, i) => {
        const values = block(`after_decode.${memory.kind === 'ssd' ? 'ssm_state' : 'k'}.${i}`);
        if (memory.kind === 'ssd') expectClose(memory.ssm, first(values.values, batch), `ssm ${i}`);
        if (memory.kind === 'attn') {
          expect(memory.k).to.have.length(length + decoded);
          expectClose(memory.k.flat(), first(values.values, batch), `k ${i}`);
        }
      });

      const grads = await readTensors(`${folder}/grads.safetensors`);
      const loss = at(grads.get('loss')?.values ?? [], 0);
      expect(referenceLoss(config, weights, ids)).to.be.closeTo(loss, rounding);
    });
  }
});

function logitsOf(rows: Step[][]): number[] {
  return rows.flat().flatMap(({ logits }) => logits);
}

function rowsOf(values: Numbers, rows: number): number[][] {
  const length = values.length / rows;
  return range(rows).map((row) => range(length).map((i) => at(values, row * length + i)));
}

/** The values of the first row of the batch. */
function first(values: Numbers, batch: number): number[] {
  return Array.from(values).slice(0, values.length / batch);
}

function expectClose(actual: Numbers, expected: Numbers, name: string): void {
  expect(actual.length, name).to.equal(expected.length);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    worst = Math.max(worst, Math.abs(at(actual, i) - at(expected, i)));
  }
  expect(worst, name).to.be.below(rounding);
}
