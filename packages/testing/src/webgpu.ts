// Whether the WebGPU tests can run in this process, and how they say that they cannot.
import { existsSync } from 'node:fs';

/** The description of SwiftShader, a Vulkan driver in software, in Debian's package chromium. */
const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';

/**
 * Options of Dawn. SwiftShader takes seconds to compile a kernel that zeroes its workgroup memory first, which
 * no kernel of ours relies on.
 */
const OPTIONS = ['enable-dawn-features=disable_workgroup_init'];

let answer: Promise<string | undefined> | undefined;

/** Starts WebGPU in Node, or says what has to be installed before. @returns undefined if it runs */
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
    const { create, globals } = await import('webgpu');
    const gpu = create(OPTIONS);
    if (await gpu.requestAdapter()) {
      Object.assign(globalThis, globals);
      const value = { gpu, userAgent: 'Node' };
      Object.defineProperty(globalThis, 'navigator', { value, configurable: true });
      return undefined;
    }
    return 'no WebGPU adapter: apt-get install libvulkan1 chromium (for SwiftShader)';
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `npm's webgpu does not load (${why}): npm install webgpu`;
  }
}
