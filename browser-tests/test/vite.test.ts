// The packages in Vite, without configuration: a build, and the development server.
import { viteBuild, viteServer, viteVersions } from '../harness/bundlers.js';
import { describeInChromium, expectBuildRuns, expectPageGenerates } from '../harness/suite.js';

describeInChromium('vite', (suite) => {
  for (const version of viteVersions) {
    it(`${version} builds a page that runs`, () =>
      expectBuildRuns(suite(), version, viteBuild(version)));

    it(`${version} serves a page that runs`, async () => {
      const project = await suite().projects.add(`${version}-server`);
      for (const isolated of [false, true]) {
        const server = await viteServer(version, project, isolated);
        try {
          await expectPageGenerates(suite(), server.url, isolated);
        } finally {
          await server.close();
        }
      }
    });
  }
});
