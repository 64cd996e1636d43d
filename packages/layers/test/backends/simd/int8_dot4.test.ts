// Int8 matmuls with and without the instruction that sums four byte products: bitwise identical.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('simd: the dot product of four bytes', () => {
  it('gives bitwise the same results as two products at a time, for tiles of any height', async function () {
    const script = fileURLToPath(new URL('./int8_dot4.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, ['--no-liftoff', script]);
    if (stdout === '0') this.skip();
    expect(Number(stdout)).to.equal(80);
  }).timeout(60_000);
});
