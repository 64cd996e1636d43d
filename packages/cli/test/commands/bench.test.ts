// `rene bench` as a user runs it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runRene, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';

describe('rene bench', () => {
  const folder = temporaryFolders();
  const quick = ['bench', '--prompt', '8', '--tokens', '2', '--repeat', '1'];

  it('measures each dtype in its own process, and reports one that is not available', async () => {
    const chart = join(folder(), 'speed.svg');
    const args = [...quick, '--random-weights', 'tiny', '--threads', '1', '--json'];
    const run = await runRene([...args, '--chart', chart, '--dtype', 'int4', 'f16', 'auto']);
    expect(run.code).to.equal(1);
    expect(run.stderr).to.contain("the backend 'simd' supports f32, bf16, int8 and int4 weights");
    const results = run.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const measured = run.stderr.match(/^measuring .*$/gm);
    expect(measured).to.deep.equal(
      ['int4', 'f16', 'auto'].map((dtype) => `measuring ${dtype} ...`),
    );
    expect(results.map(({ dtype }) => dtype)).to.deep.equal(['int4', 'bf16']);
    for (const result of results) {
      expect(result).to.include({ backend: 'simd', threads: 1, prompt: 8, batch: 1 });
      expect(result.decodeTokensPerSecond).to.be.above(0);
      expect(result.readBandwidth).to.be.above(1e8);
      expect(result.loadSeconds).to.be.within(0.001, 60);
      // Without the memory of the bandwidth probe.
      expect(result.peakMemoryBytes).to.be.within(50e6, 400e6);
    }
    expect(results[0].weightBytes).to.be.below(results[1].weightBytes / 3);
    expect(readFileSync(chart, 'utf8')).to.match(/^<svg [\s\S]*int4[\s\S]*bf16[\s\S]*<\/svg>\n$/);
  });

  it('prints a table with a legend', async () => {
    const run = await runRene([...quick, '--dtype', 'int8', '--batch', '2']);
    expect(run.code).to.equal(0);
    expect(run.stderr).to.equal('measuring int8 ...\n');
    expect(run.stdout).to.match(/backend simd on \d+ threads?.*; prompt 8, .* batch 2, /);
    expect(run.stdout).to.contain('share: weights x decode / read');
  });
});
