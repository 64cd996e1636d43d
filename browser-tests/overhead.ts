// CPU time of a decoded token on 'webgpu' in a page: `npm run overhead --prefix browser-tests [-- --empty-kernels]`.
//
// It is CPU time of the page's main thread, from the thread times of Chromium's trace: to encode and submit a token
// with its mapAsync, between two marks of performance.mark, and of all the thread's tasks. Time that the thread
// waited for a core is not in it, nor are the GPU's process and the computation. SwiftShader computes on the same
// cores and evicts the thread's caches between tokens, which lengthens CPU time too. With --empty-kernels the
// kernels do nothing, as if a GPU of its own computed them.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closeBrowser, openPage, startBrowser, useSoftwareGpu } from './harness/chromium.js';
import { bundleForPage, compiled } from './harness/page_bundle.js';
import { serve } from './harness/static_server.js';
import { marksOf, taskMicroseconds, traceEvents } from './harness/trace.js';

/** Tokens that are counted; V8 has compiled the code after the first ones. */
const TOKENS = 100;
const FIRST_TOKENS = 60;

declare global {
  /** See `main` below. */
  var start: (rows: number) => Promise<void>;
  /** @returns launches */
  var decode: (tokens: number) => Promise<number>;
  var quartiles: (times: number[]) => string;
}

const emptyKernels = `
const { createShaderModule } = GPUDevice.prototype;
GPUDevice.prototype.createShaderModule = function (descriptor) {
  const code = '@compute @workgroup_size(1) fn main() {}';
  return createShaderModule.call(this, { ...descriptor, code });
};
`;

const main = `
import { useBackend } from '@rene-js/layers';
import { registerWebGpuBackend, webGpuInfo } from '@rene-js/layers/webgpu';
import { loadModel, quartiles, startDecoding } from ${compiled('benchmarks/dist/webgpu_tokens.js')};
${process.argv.includes('--empty-kernels') ? emptyKernels : ''}
Object.assign(globalThis, { quartiles });
registerWebGpuBackend();
await useBackend('webgpu');
const model = await loadModel();
let decoding;
globalThis.start = async (rows) => {
  decoding?.dispose();
  decoding = await startDecoding(model, rows);
};
// The first mark after a pause takes longest, so it comes before the one that counts.
const mark = (name) => {
  if (name === 'start') performance.mark('pause');
  performance.mark(name);
};
globalThis.decode = async (tokens) => {
  const { launches } = webGpuInfo();
  await decoding.decode(tokens, mark);
  return webGpuInfo().launches - launches;
};
`;

useSoftwareGpu();
const root = await mkdtemp(join(tmpdir(), 'rene-overhead-'));
await bundleForPage(root, main);
const server = await serve(root);
const { page, messages } = await openPage(`${server.origin}/`);
await page
  .waitForFunction(() => 'decode' in globalThis)
  .catch((cause: unknown) => {
    throw new Error(`the page does not run: ${messages.join('\n')}`, { cause });
  });
const browser = await startBrowser();

for (const rows of [1, 8]) {
  await page.evaluate((count) => start(count), rows);
  await page.evaluate((count) => decode(count), FIRST_TOKENS);
  await browser.startTracing(page, { categories: ['toplevel', 'scheduler', 'blink.user_timing'] });
  const launches = await page.evaluate((count) => decode(count), TOKENS);
  const events = traceEvents(await browser.stopTracing());
  const marks = marksOf(events);
  const starts = marks.filter(({ name }) => name === 'start');
  const ends = marks.filter(({ name }) => name === 'end');
  const times = starts.map(({ tts }, i) => (ends[i]?.tts ?? Number.NaN) - tts);
  const thread = taskMicroseconds(events, starts[0]) / TOKENS;
  const cpu = await page.evaluate((all) => quartiles(all), times);
  console.log(
    `batch ${rows}: ${launches / TOKENS} launches a token, ${cpu} us of CPU to encode and submit ` +
      `(least, median, upper quartile), ${thread.toFixed(0)} us of the main thread a token`,
  );
}
server.close();
await closeBrowser();
await rm(root, { recursive: true });
