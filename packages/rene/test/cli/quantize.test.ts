// `rene quantize`: what it writes is loaded without being rounded again, and computes the same.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { ReneLMHeadModel } from '../../src/model.js';
import { temporaryFolders } from '../checkpoint/fixtures.js';
import { runRene } from './run_rene.js';

describe('rene quantize', () => {
  const folder = temporaryFolders();

  for (const dtype of ['int8', 'int4', 'bf16'] as const) {
    it(`writes ${dtype}`, async () => {
      const out = join(folder(), dtype);
      const what = ['--dtype', dtype, '--group-size', '32'];
      const run = await runRene(['quantize', 'rene-tiny', out, ...what]);
      expect([run.code, run.stdout.trim()]).to.deep.equal([0, out]);
      const config: unknown = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
      if (dtype === 'bf16') expect(config).not.to.have.property('quantization');
      else {
        const quantization = { group_size: 32, bits: dtype === 'int8' ? 8 : 4 };
        expect(config).to.deep.include({ quantization });
      }
      expect(existsSync(join(out, 'tokenizer.json'))).to.equal(true);
      // Four matrices of 400 columns, an eighth of all, are not whole groups and stay as they are.
      const bytesAWeight = statSync(join(out, 'model.safetensors')).size / 2.12e6;
      expect(bytesAWeight).to.be.below({ bf16: 2.1, int8: 1.55, int4: 1.15 }[dtype]);

      const ids = [[3, 141, 59, 26, 535, 89, 79, 323]];
      const logits = async (dir: string, format: typeof dtype | 'auto') => {
        const options = { backend: 'simd', dtype: format, groupSize: 32 } as const;
        const model = await ReneLMHeadModel.fromPretrained(dir, options);
        const values = await model.forward(ids).data();
        model.dispose();
        return Float32Array.from(values);
      };
      const expected = await logits('rene-tiny', dtype);
      for (const format of ['auto', dtype] as const) {
        const found = await logits(out, format);
        // The four matrices are f32 with 'auto'; asked for, they are rounded at loading.
        if (dtype === 'bf16') expect(found).to.deep.equal(expected);
        else expect(deviation(found, expected), format).to.be.below(0.05);
      }
    }).timeout(60_000);
  }

  it('refuses what cannot be written', async () => {
    const run = await runRene(['quantize', 'rene-tiny', join(folder(), 'x'), '--dtype', 'int3']);
    expect(run.code).to.equal(2);
    expect(run.stderr).to.contain('int4, int8, bf16');
  });
});

/** The root mean square of the differences, against that of the expected values. */
function deviation(found: Float32Array, expected: Float32Array): number {
  const square = (sum: number, value: number) => sum + value * value;
  const differences = expected.map((value, i) => value - (found[i] ?? Number.NaN));
  return Math.sqrt(differences.reduce(square, 0) / expected.reduce(square, 0));
}
