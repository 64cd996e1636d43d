// CPU cost of a decoded token on 'webgpu': microseconds per launch and per token, launches, bytes. In a page:
// browser-tests/overhead.ts.
//
//   node benchmarks/dist/webgpu_overhead.js [backend=null]
//
// With `backend=null`, an option of Dawn, no GPU computes: the remaining cost is encoding and submitting.

import { checkpointBytes } from '@rene-js/cli/bench';
import { useBackend } from '@rene-js/layers';
import { webGpuInfo } from '@rene-js/layers/webgpu';
import { create, globals } from 'webgpu';
import { config, loadModel, quartiles, startDecoding } from './webgpu_tokens.js';

const TOKENS = 300;
const options = process.argv.slice(2);

Object.assign(globalThis, globals);
const value = { gpu: create(options), userAgent: 'Node' };
Object.defineProperty(globalThis, 'navigator', { value, configurable: true });

await useBackend('webgpu');
const model = await loadModel();
const fileBytes = checkpointBytes(config, model.parameters);
for (const rows of [1, 8]) {
  const { decode, dispose } = await startDecoding(model, rows);
  const { launches: launched, weightBytes: read } = webGpuInfo();
  const before = process.cpuUsage();
  const times = await decode(TOKENS);
  const { user, system } = process.cpuUsage(before);
  const perToken = (user + system) / TOKENS;
  const after = webGpuInfo();
  const launches = (after.launches - launched) / TOKENS;
  const weightBytes = (after.weightBytes - read) / TOKENS;
  console.log(
    `batch ${rows}: ${launches} launches a token, ${perToken.toFixed(0)} us of CPU a token, ` +
      `${(perToken / launches).toFixed(1)} us a launch; to encode and submit ${quartiles(times.map((ms) => 1000 * ms))} us; ${(weightBytes / fileBytes).toFixed(3)} of the ` +
      'bytes of the weights read a token (int4)',
  );
  dispose();
}
console.log(`on ${webGpuInfo().name}`);
model.dispose();
process.exit();
