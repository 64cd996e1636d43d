// `rene verify`: its output and exit code.

import { golden, runRene } from '@rene-js/testing';
import { expect } from 'chai';
import { runInProcess } from '../run_in_process.js';

describe('rene verify', () => {
  it('prints one line per check, and the count', async () => {
    const run = await runInProcess(['verify', golden('tiny-mamba2'), '--backend', 'simd']);
    expect([run.code, run.stderr]).to.deep.equal([0, '']);
    expect(run.stdout).to.match(/ok {4}logits +\d\.\de-\d <= 1e-4/);
    expect(run.stdout).to.match(/\n\d+ passed, 0 failed\n$/);
  });

  it('prints a notice that the references were computed with unrounded weights', async () => {
    const what = ['--backend', 'simd', '--dtype', 'int4'];
    const run = await runRene(['verify', golden('tiny-mamba2'), ...what]);
    expect(run.code).to.equal(1);
    expect(run.stdout).to.match(/FAIL {2}logits/);
    expect(run.stderr).to.contain('--dtype int4 rounds weights');
  });
});
