// Whether the WebGPU tests can run in this process, and how they say that they cannot.
import { existsSync } from 'node:fs';

/** The description of SwiftShader, a Vulkan driver in software, in Debian's package chromium. */
const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';

let answer: Promise<string | undefined> | undefined;

/** Says what has to be installed before WebGPU runs in Node; undefined if nothing has to. */
export function missingForWebGpu(): Promise<string | undefined> {
  answer ??= findMissing();
  return answer;
}

/**
 * A mocha hook that skips a suite outside of `npm run test:webgpu`: the npm package webgpu and a software
 * driver may crash the process, and with it all tests that share it.
 */
export async function skipWithoutWebGpu(this: Mocha.Context): Promise<void> {
  if (process.env.RENE_TEST_WEBGPU !== 'required') return this.skip();
  const missing = await missingForWebGpu();
  if (missing !== undefined) throw new Error(missing);
}

async function findMissing(): Promise<string | undefined> {
  // Software is slow, but gives the same results on every machine.
  if (existsSync(SWIFTSHADER)) process.env.VK_ICD_FILENAMES ??= SWIFTSHADER;
  try {
    const { create } = await import('webgpu');
    const adapter = await create([]).requestAdapter();
    if (adapter) return undefined;
    return 'no WebGPU adapter: apt-get install libvulkan1 chromium (for SwiftShader)';
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `npm's webgpu does not load (${why}): npm install webgpu`;
  }
}
