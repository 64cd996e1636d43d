// The backend's threads: they sleep when idle, do not keep the process alive, and are optional.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('simd in a process', () => {
  const script = fileURLToPath(new URL('./alone.js', import.meta.url));

  async function alone(...args: string[]) {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [script, ...args], {
      timeout: 30_000, // killed if it does not end, which fails the test
    });
    expect(stderr).to.equal('');
    return JSON.parse(stdout);
  }

  it('lets the process end, and uses no CPU while idle', async () => {
    const { threads, sums, idleMilliseconds } = await alone();
    expect(sums).to.deep.equal([256]);
    expect(threads).to.equal(4);
    // Of 300 ms. Four spinning threads would use all of it.
    expect(idleMilliseconds).to.be.at.most(20);
  }).timeout(40_000);

  it('runs on one thread if memory cannot be shared', async () => {
    const { threads, sums } = await alone('unshared');
    expect(sums).to.deep.equal([256]);
    expect(threads).to.equal(1);
  }).timeout(40_000);
});
