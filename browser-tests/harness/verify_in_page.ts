// `rene verify` in a page: the same checks on the browser's WebGPU, with files over HTTP.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Check, foldersWithin, type VerifyOptions } from '@rene-js/cli/internal';
import type { ModelOptions } from '@rene-js/rene';
import { openPage } from './chromium.js';
import { bundleForPage, compiled } from './page_bundle.js';
import { serve } from './static_server.js';

declare global {
  /** See `main` below. */
  var verifyFolder: (
    folder: string,
    options: VerifyOptions,
    modelOptions: ModelOptions,
  ) => Promise<Check[]>;
}

const main = `
import { useBackend } from '@rene-js/layers';
import { registerWebGpuBackend } from '@rene-js/layers/webgpu';
import { verifyFolder } from ${compiled('packages/cli/dist/src/verify/verify_folder.js')};
registerWebGpuBackend();
globalThis.verifyFolder = async (folder, options, modelOptions) => {
  await useBackend(modelOptions.backend);
  const checks = [];
  for await (const check of verifyFolder(folder, options, modelOptions)) checks.push(check);
  return checks;
};
`;

/** What the checks take from @rene-js/rene/internal, as a page has it. */
const internal = `
import { bytesSource } from ${compiled('packages/rene/dist/src/checkpoint/byte_source.js')};
import { parseJson } from ${compiled('packages/rene/dist/src/json.js')};
export { openSafetensors } from ${compiled('packages/rene/dist/src/checkpoint/safetensors.js')};
export { readF32, readI32 } from ${compiled('packages/rene/dist/src/checkpoint/tensor_file.js')};
export { generateReference } from ${compiled('packages/rene/dist/src/generation/reference.js')};
export { samplingProbabilities } from ${compiled('packages/rene/dist/src/generation/reference_sampling.js')};
export { nextTokenLoss } from ${compiled('packages/rene/dist/src/loss.js')};
export const fileExists = async (path) => (await fetch(path, { method: 'HEAD' })).ok;
export const openFile = async (path) =>
  bytesSource(new Uint8Array(await (await fetch(path)).arrayBuffer()), path);
export const readJsonFile = async (path) => parseJson(await (await fetch(path)).text());
`;

/** Checks a folder and its subfolders in a page. The signature is that of `rene verify`'s own. */
export async function* verifyInPage(
  folder: string,
  options: VerifyOptions,
  modelOptions: ModelOptions,
): AsyncGenerator<Check> {
  const root = await mkdtemp(join(tmpdir(), 'rene-verify-'));
  try {
    await bundleForPage(root, main, { '@rene-js/rene/internal': internal });
    const server = await serve(root, { folders: { '/goldens/': folder } });
    const { page, messages, close } = await openPage(`${server.origin}/`);
    try {
      const ready = () => 'verifyFolder' in globalThis;
      await page.waitForFunction(ready, undefined, { timeout: 120_000 }).catch((cause: unknown) => {
        throw new Error(`the page does not run: ${messages.join('\n')}`, { cause });
      });
      for (const each of await foldersWithin(folder)) {
        const path = `/goldens${each.slice(folder.length)}`;
        const checks = await page.evaluate((given) => verifyFolder(...given), [
          path,
          options,
          // Every model is loaded once.
          { ...modelOptions, hub: { cache: false } },
        ] as const);
        for (const check of checks) yield { ...check, source: check.source.replace(path, each) };
      }
    } finally {
      await close();
      server.close();
    }
  } finally {
    await rm(root, { recursive: true });
  }
}
