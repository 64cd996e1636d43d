// The tests of 'webgpu' that run in Node, bundled for a page, where mocha runs them on the browser's WebGPU.
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { openPage } from './chromium.js';
import { bundleForPage, compiled } from './page_bundle.js';
import { repository } from './project.js';
import { serve } from './static_server.js';

/** What mocha says of a page's tests. */
export interface GpuSuiteResult {
  passed: string[];
  failed: string[];
  messages: string[];
}

/** What the tests take from @rene-js/testing, as a page has it. */
const testing = `
import { registerWebGpuBackend } from ${compiled('packages/layers/dist/src/backends/webgpu/index.js')};
export * from ${compiled('packages/testing/dist/webgpu_device.js')};
registerWebGpuBackend();
export function skipWithoutWebGpu() {}
export const goldenPath = (name) => new URL('/goldens/' + name, location.href).href;
`;

const run = `
globalThis.tested = new Promise((resolve) => {
  const passed = [];
  const failed = [];
  mocha
    .run()
    .on('pass', (test) => passed.push(test.fullTitle()))
    .on('fail', (test, error) => failed.push(test.fullTitle() + ': ' + (error?.stack ?? error)))
    .on('end', () => resolve({ passed, failed }));
});
`;

const html = `<!doctype html><meta charset="utf-8"><div id="mocha"></div>
<script src="mocha.js"></script><script>mocha.setup({ ui: 'bdd', timeout: 0 })</script>
<script type="module" src="main.js"></script>`;

/** Runs a compiled test file, named by its path in the repository, in a page whose files are put in `folder`. */
export async function runGpuSuite(folder: string, file: string): Promise<GpuSuiteResult> {
  await mkdir(folder, { recursive: true });
  const paths = ['scripts/fuzz_seed.mjs', file].map((path) => join(repository, path));
  const imports = paths.map((path) => `import ${JSON.stringify(path)};`).join('\n');
  // With as few random cases as the tests have.
  await bundleForPage(
    folder,
    imports + run,
    { '@rene-js/testing': testing },
    {
      'process.env.RENE_TEST_WEBGPU': 'undefined',
      'process.env.RENE_TEST_WEBGPU_RUNS': '1',
      'process.env.RENE_FUZZ_SEED': 'undefined',
    },
  );
  const mocha = dirname(createRequire(import.meta.url).resolve('mocha/package.json'));
  await cp(join(mocha, 'mocha.js'), join(folder, 'mocha.js'));
  await writeFile(join(folder, 'index.html'), html);
  const goldens = join(repository, 'goldens');
  const server = await serve(folder, { folders: { '/goldens/': goldens } });
  const { page, messages, close } = await openPage(`${server.origin}/`);
  try {
    const result = await page.evaluate<Omit<GpuSuiteResult, 'messages'>>('globalThis.tested');
    return { ...result, messages };
  } finally {
    await close();
    server.close();
  }
}
