// CPU cost of a decoded token on 'webgpu': microseconds per launch and per token, launches, bytes.
//
//   node benchmarks/dist/webgpu_overhead.js [backend=null]
//
// With `backend=null`, an option of Dawn, no GPU computes: the remaining cost is encoding and submitting.
// The model has the 48 blocks of Rene at a small width: the cost does not depend on the width.

import { checkpointBytes } from '@rene-js/cli/bench';
import { useBackend } from '@rene-js/layers';
import { webGpuInfo } from '@rene-js/layers/webgpu';
import { ReneLMHeadModel, reneConfig } from '@rene-js/rene';
import { create, globals } from 'webgpu';

const TOKENS = 300;
const options = process.argv.slice(2);

Object.assign(globalThis, globals);
const value = { gpu: create(options), userAgent: 'Node' };
Object.defineProperty(globalThis, 'navigator', { value, configurable: true });

await useBackend('webgpu');
const config = reneConfig({
  ...{ dModel: 64, nLayer: 48, vocabSize: 512, eosTokenId: 39 },
  ssm: { headDim: 8, dState: 8 },
  attnLayerIdx: [6, 18, 30, 42],
  attn: { numHeads: 2, slidingWindowLength: 8 },
  mlpLayerIdx: Array.from({ length: 16 }, (_, i) => 3 * i + 2),
});
const model = await ReneLMHeadModel.fromConfig(config, { backend: 'webgpu', dtype: 'int4' });
const fileBytes = checkpointBytes(config, model.parameters);
for (const rows of [1, 8]) {
  const state = model.initialState(rows);
  const step = model.compileStep(rows);
  if (!step?.sample) throw new Error('no step');
  for (let row = 0; row < rows; row++) step.join(state.layers, row, 0);
  const params = Array.from({ length: rows }, () => {
    return { random: 0, temperature: 0, topK: 0, topP: 1, minP: 0 };
  });
  const tokens = params.map(() => 1);
  // As generate does it: the next step is encoded before the tokens of this one are read.
  let next = tokens;
  const decode = async () => {
    next = (await step.sample?.(next, params, params)) ?? next;
  };
  for (let i = 0; i < 20; i++) await decode();
  const { launches: launched, weightBytes: read } = webGpuInfo();
  const before = process.cpuUsage();
  for (let i = 0; i < TOKENS; i++) await decode();
  const { user, system } = process.cpuUsage(before);
  const perToken = (user + system) / TOKENS;
  const after = webGpuInfo();
  const launches = (after.launches - launched) / TOKENS;
  const weightBytes = (after.weightBytes - read) / TOKENS;
  console.log(
    `batch ${rows}: ${launches} launches a token, ${perToken.toFixed(0)} us of CPU a token, ` +
      `${(perToken / launches).toFixed(1)} us a launch, ${(weightBytes / fileBytes).toFixed(3)} of the ` +
      'bytes of the weights read a token (int4)',
  );
  step.dispose();
  state.dispose();
}
console.log(`on ${webGpuInfo().name}`);
model.dispose();
process.exit();
