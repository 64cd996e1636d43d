// The commands that write and download models: convert, quantize, download.
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCheckpoint } from '@rene-js/rene/internal';
import { golden, runRene } from '@rene-js/testing';
import { expect } from 'chai';
import { runInProcess } from '../run_in_process.js';

describe('rene convert, quantize, download', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'rene-test-'));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  it('converts to another dtype and prints the folder', async () => {
    const out = join(dir, 'bf16');
    const { code, stdout } = await runRene([
      ...['convert', golden('tiny-options'), out, '--dtype', 'bf16'],
    ]);
    expect([code, stdout]).to.deep.equal([0, `${out}\n`]);
    const checkpoint = await openCheckpoint(out);
    expect(checkpoint.info('backbone.embedding.weight').dtype).to.equal('BF16');
    await checkpoint.close();
  });

  it('quantises to a folder that generates', async () => {
    const out = join(dir, 'int4');
    // Rows of 160 values are whole groups of 32, not of 64.
    const what = ['--dtype', 'int4', '--group-size', '32'];
    const quantized = await runInProcess(['quantize', 'rene-tiny', out, ...what]);
    expect([quantized.code, quantized.stdout]).to.deep.equal([0, `${out}\n`]);
    expect(readdirSync(out)).to.include.members([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
    const full = join(dir, 'f32');
    await runInProcess(['convert', 'rene-tiny', full, '--dtype', 'f32']);
    const size = (path: string) => statSync(join(path, 'model.safetensors')).size;
    expect(size(out) / size(full)).to.be.below(0.3);
    const checkpoint = await openCheckpoint(out);
    expect(checkpoint.info('backbone.embedding.weight').dtype).to.equal('int4');
    await checkpoint.close();
    const text = await runInProcess(['generate', 'A lighthouse is', '-m', out, '-n', '4']);
    expect(text.code).to.equal(0);
    expect(text.stdout).to.match(/^A lighthouse is.+\n$/s);
  });

  it('reports what cannot be downloaded', async () => {
    const { code, stdout, stderr } = await runInProcess(['download', 'no such model']);
    expect([code === 0, stdout]).to.deep.equal([false, '']);
    expect(stderr).to.match(/no such model: no such folder/);
  });
});
