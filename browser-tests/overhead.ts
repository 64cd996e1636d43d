// CPU time of a decoded token on 'webgpu' in a page: `npm run overhead --prefix browser-tests`. It is that of the
// page's main thread, which encodes and submits; the GPU's process and software's computation are not in it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closeBrowser, openPage, useSoftwareGpu } from './harness/chromium.js';
import { bundleForPage, compiled } from './harness/page_bundle.js';
import { serve } from './harness/static_server.js';

const TOKENS = 30;

declare global {
  /** See `main` below. */
  var start: (rows: number) => Promise<void>;
  var decode: (tokens: number) => Promise<{ launches: number; times: string }>;
}

const main = `
import { useBackend } from '@rene-js/layers';
import { registerWebGpuBackend, webGpuInfo } from '@rene-js/layers/webgpu';
import { loadModel, quartiles, startDecoding } from ${compiled('benchmarks/dist/webgpu_tokens.js')};
registerWebGpuBackend();
await useBackend('webgpu');
const model = await loadModel();
let decoding;
globalThis.start = async (rows) => {
  decoding?.dispose();
  decoding = await startDecoding(model, rows);
};
globalThis.decode = async (tokens) => {
  const { launches } = webGpuInfo();
  const times = quartiles(await decoding.decode(tokens));
  return { times, launches: webGpuInfo().launches - launches };
};
`;

useSoftwareGpu();
const root = await mkdtemp(join(tmpdir(), 'rene-overhead-'));
await bundleForPage(root, main);
// Isolated pages have a finer clock.
const server = await serve(root, { isolated: true });
const { page, messages } = await openPage(`${server.origin}/`);
await page
  .waitForFunction(() => 'decode' in globalThis)
  .catch((cause: unknown) => {
    throw new Error(`the page does not run: ${messages.join('\n')}`, { cause });
  });
const session = await page.context().newCDPSession(page);
await session.send('Performance.enable', { timeDomain: 'threadTicks' });

/** CPU time of the page's main thread. */
async function cpuSeconds(): Promise<number> {
  const { metrics } = await session.send('Performance.getMetrics');
  return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN;
}

for (const rows of [1, 8]) {
  await page.evaluate((count) => start(count), rows);
  const before = await cpuSeconds();
  const { launches, times } = await page.evaluate((count) => decode(count), TOKENS);
  const perToken = (1e6 * ((await cpuSeconds()) - before)) / TOKENS;
  console.log(
    `batch ${rows}: ${launches / TOKENS} launches a token, ${perToken.toFixed(0)} us of CPU a token, ` +
      `${((perToken * TOKENS) / launches).toFixed(1)} us a launch; to encode and submit ${times} us`,
  );
}
server.close();
await closeBrowser();
await rm(root, { recursive: true });
