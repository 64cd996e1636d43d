// Integer matmuls with the instruction that sums four byte products.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('simd: the dot product of four bytes', () => {
  it('gives int4 bitwise the same results as two products at a time, and int8 more exact ones', async function () {
    const script = fileURLToPath(new URL('./int8_dot4.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, ['--no-liftoff', script]);
    if (stdout === '0') this.skip();
    expect(Number(stdout)).to.equal(80);
  }).timeout(60_000);
});
