// The size of what a page loads before the model, without the kernels.
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';

async function compressedSize(file: string): Promise<number> {
  return gzipSync(await readFile(new URL(`../../${file}`, import.meta.url)), { level: 9 }).length;
}

describe('scripts for pages, compressed', () => {
  let page: number;
  before(async () => {
    page = await compressedSize('rene.browser.js');
  });

  it('are below 15 kB without a worker', () => {
    expect(page).to.be.below(15_000);
  });
  it('are below 150 kB with the worker of simd', async () => {
    expect(page + (await compressedSize('rene.worker.js'))).to.be.below(150_000);
  });
  it('are below 300 kB with the worker of webgpu', async () => {
    expect(page + (await compressedSize('rene.worker.webgpu.js'))).to.be.below(300_000);
  });
});
