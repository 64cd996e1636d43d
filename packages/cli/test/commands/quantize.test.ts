// `rene quantize`: the written model loads without further rounding, and computes the same.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type ModelOptions, ReneLMHeadModel } from '@rene-js/rene';
import { runRene, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { runInProcess } from '../run_in_process.js';

describe('rene quantize', () => {
  const folder = temporaryFolders();

  for (const dtype of ['int8', 'int4', 'bf16'] as const) {
    it(`writes ${dtype}`, async () => {
      const out = join(folder(), dtype);
      const what = ['--dtype', dtype, '--group-size', '32'];
      const run = await runInProcess(['quantize', 'rene-tiny', out, ...what]);
      expect([run.code, run.stdout.trim()]).to.deep.equal([0, out]);
      // The matrices with 400 columns; see below.
      expect(run.stderr.includes('4 of 25 matrices stay bf16')).to.equal(dtype !== 'bf16');
      const config: unknown = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
      if (dtype === 'bf16') expect(config).not.to.have.property('quantization');
      else {
        const quantization = { group_size: 32, bits: dtype === 'int8' ? 8 : 4 };
        expect(config).to.deep.include({ quantization });
      }
      expect(existsSync(join(out, 'tokenizer.json'))).to.equal(true);
      // Four matrices with 400 columns, a twelfth of all, are not whole groups and stay unchanged.
      const bytesAWeight = statSync(join(out, 'model.safetensors')).size / 3.11e6;
      expect(bytesAWeight).to.be.below({ bf16: 2.1, int8: 1.25, int4: 0.8 }[dtype]);

      const ids = [[3, 141, 59, 26, 535, 89, 79, 323]];
      const logits = async (dir: string, options: ModelOptions) => {
        const model = await ReneLMHeadModel.fromPretrained(dir, {
          backend: 'simd',
          groupSize: 32,
          ...options,
        });
        const values = await model.forward(ids).data();
        model.dispose();
        return Float32Array.from(values);
      };
      // As in the file, and with the four matrices rounded at load: bitwise identical.
      expect(await logits(out, {})).to.deep.equal(
        await logits('rene-tiny', { dtype, wholeGroups: true }),
      );
      expect(await logits(out, { dtype })).to.deep.equal(await logits('rene-tiny', { dtype }));
    });
  }

  it('refuses models and options that it cannot write', async () => {
    const run = await runRene(['quantize', 'rene-tiny', join(folder(), 'x'), '--dtype', 'int3']);
    expect(run.code).to.equal(2);
    expect(run.stderr).to.contain('int4, int8, bf16');
  });
});
