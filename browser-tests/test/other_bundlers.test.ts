// The packages in webpack, esbuild and Rollup.
import { esbuildBuild, rollupBuild, webpackBuild } from '../harness/bundlers.js';
import { describeInChromium, expectBuildRuns } from '../harness/suite.js';

describeInChromium('other bundlers', (suite) => {
  for (const mode of ['production', 'development'] as const) {
    it(`webpack in ${mode} mode makes a page that runs`, () =>
      expectBuildRuns(suite(), `webpack-${mode}`, webpackBuild(mode)));
  }

  for (const kind of ['esm', 'iife', 'split'] as const) {
    it(`esbuild (${kind}) makes a page that runs`, () =>
      expectBuildRuns(suite(), `esbuild-${kind}`, esbuildBuild(kind)));
  }

  it('rollup makes a page that runs', () => expectBuildRuns(suite(), 'rollup', rollupBuild));
});
