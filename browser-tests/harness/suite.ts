// Shared by the bundler suites: packed packages, a served model, and pages that must generate the same text
// as Node.
import { expect } from 'chai';
import type { Build } from './bundlers.js';
import { closeBrowser, hasChromium } from './chromium.js';
import { generateAllInPage, generateInNode } from './generate.js';
import { Projects, reneTiny } from './project.js';
import { type StaticServer, serve } from './static_server.js';

const prompt = 'A lighthouse is';
const maxNewTokens = 12;

export interface Suite {
  projects: Projects;
  models: StaticServer;
}

/** A describe with a Suite while its tests run. Skipped without Chromium. */
export function describeInChromium(title: string, tests: (suite: () => Suite) => void): void {
  describe(title, () => {
    let suite: Suite | undefined;

    before(async function () {
      if (!hasChromium) this.skip();
      suite = { projects: await Projects.create(), models: await serve(reneTiny) };
    });

    after(async () => {
      await closeBrowser();
      suite?.models.close();
      await suite?.projects.remove();
    });

    tests(() => {
      if (!suite) throw new Error('the suite has not begun');
      return suite;
    });
  });
}

let expected: Promise<string> | undefined;

/**
 * The page at `url` generates what Node generates, on its own thread and in a worker: on `simd`, with all threads if it
 * is isolated.
 */
export async function expectPageGenerates(
  { models }: Suite,
  url: string,
  isolated: boolean,
): Promise<void> {
  expected ??= generateInNode(prompt, maxNewTokens);
  const calls = [false, true].map((inWorker) => ({
    ...{ model: models.origin, prompt, maxNewTokens, inWorker },
  }));
  const runs = await generateAllInPage(url, calls);
  for (const [i, { result, error, messages, cores }] of runs.entries()) {
    const where = `${calls[i]?.inWorker ? 'worker' : 'page'}: ${messages.join('\n')}`;
    expect(error, where).to.equal(undefined);
    const threads = isolated ? cores : 1;
    expect(result, where).to.deep.equal({ text: await expected, backend: 'simd', threads });
  }
}

/** A new project, bundled and served with and without isolation, generates the same text as Node. */
export async function expectBuildRuns(suite: Suite, name: string, build: Build): Promise<void> {
  const root = await build(await suite.projects.add(name));
  for (const isolated of [false, true]) {
    const server = await serve(root, { isolated });
    try {
      await expectPageGenerates(suite, `${server.origin}/`, isolated);
    } finally {
      server.close();
    }
  }
}
