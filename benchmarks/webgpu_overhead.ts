// What the CPU spends on a decoded token of 'webgpu': microseconds a launch and a token, launches, bytes.
//
//   node benchmarks/dist/webgpu_overhead.js [backend=null]
//
// With `backend=null`, an option of Dawn, no GPU computes: what is left is the cost of encoding and submitting.
// The model has the 48 blocks of Rene at a small width: the cost does not depend on the width.
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
  ...{ dModel: 16, nLayer: 48, vocabSize: 40, eosTokenId: 39 },
  ssm: { headDim: 8, dState: 8 },
  attnLayerIdx: [6, 18, 30, 42],
  attn: { numHeads: 2, slidingWindowLength: 8 },
  mlpLayerIdx: Array.from({ length: 16 }, (_, i) => 3 * i + 2),
});
const model = await ReneLMHeadModel.fromConfig(config, { backend: 'webgpu' });
for (const rows of [1, 8]) {
  const state = model.initialState(rows);
  const step = model.compileStep(rows);
  if (!step?.sample) throw new Error('no step');
  for (let row = 0; row < rows; row++) step.join(state.layers, row, 0);
  const params = Array.from({ length: rows }, () => {
    return { random: 0, temperature: 0, topK: 0, topP: 1, minP: 0 };
  });
  const tokens = params.map(() => 1);
  for (let i = 0; i < 20; i++) await step.sample(tokens, params);
  const before = process.cpuUsage();
  for (let i = 0; i < TOKENS; i++) await step.sample(tokens, params);
  const { user, system } = process.cpuUsage(before);
  const perToken = (user + system) / TOKENS;
  const launches = step.kernels();
  console.log(
    `batch ${rows}: ${launches} launches a token, ${perToken.toFixed(0)} us of CPU a token, ` +
      `${(perToken / launches).toFixed(1)} us a launch`,
  );
  step.dispose();
  state.dispose();
}
console.log(`on ${webGpuInfo().name}`);
model.dispose();
process.exit();
