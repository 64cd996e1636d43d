// Integer products where the engine sums four products of bytes by one instruction, and where it does not: the same bits.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('simd: four products of bytes summed at once', () => {
  it('give the bits of two and two, in tiles of any height', async function () {
    const script = fileURLToPath(new URL('./int8_dot4.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, ['--no-liftoff', script]);
    if (stdout === '0') this.skip();
    expect(Number(stdout)).to.equal(80);
  }).timeout(60_000);
});
