// The backend's threads: asleep when there is nothing to do, never what keeps a process alive, and not
// needed at all.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

describe('simd: a process that uses it', () => {
  const script = fileURLToPath(new URL('./alone.js', import.meta.url));

  async function alone(...args: string[]) {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [script, ...args], {
      timeout: 30_000, // killed if it does not end, which fails
    });
    expect(stderr).to.equal('');
    return JSON.parse(stdout);
  }

  it('ends by itself, and burns nothing while idle', async () => {
    const { threads, sums, idleMilliseconds } = await alone();
    expect(sums).to.deep.equal([256]);
    expect(threads).to.equal(4);
    // Of 300. Four spinning threads would take all that there is.
    expect(idleMilliseconds).to.be.at.most(20);
  }).timeout(40_000);

  it('runs on one thread where memory cannot be shared', async () => {
    const { threads, sums } = await alone('unshared');
    expect(sums).to.deep.equal([256]);
    expect(threads).to.equal(1);
  }).timeout(40_000);
});
