// The backend 'simd' compared with tfjs's own CPU backends, tfjs-backend-wasm and tfjs-backend-cpu, on the
// same model with f32 weights: one period of Rene 1.3B's pattern (12 blocks), narrower by default.
//
//   node benchmarks/dist/stock_tfjs.js [--d-model 1024] [--prompt 64] [--tokens 8] [--rounds 3]
//        [--backends simd,wasm,cpu]
//
// The backends are interleaved in one process. tfjs-backend-wasm runs on one thread in Node.
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { median, randomModel, seconds } from '@rene-js/cli/bench';
import { useBackend } from '@rene-js/layers';
import { type ReneLMHeadModel, reneConfig, reneConfig1_3B } from '@rene-js/rene';
import * as tf from '@tensorflow/tfjs-core';

const { values } = parseArgs({
  options: {
    'd-model': { type: 'string', default: '1024' },
    prompt: { type: 'string', default: '64' },
    tokens: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '3' },
    backends: { type: 'string', default: 'simd,wasm,cpu' },
  },
});
const dModel = Number(values['d-model']);
const prompt = Number(values.prompt);
const tokens = Number(values.tokens);
const backends = values.backends.split(',');

const { attn } = reneConfig1_3B;
const config = reneConfig({
  dModel,
  nLayer: 12,
  attnLayerIdx: [6],
  attn: attn && { ...attn, numHeads: dModel / attn.headDim, numHeadsKv: dModel / attn.headDim },
  mlpLayerIdx: [2, 5, 8, 11],
});

const models = new Map<string, ReneLMHeadModel>();
for (const backend of backends) {
  if (backend === 'wasm') await import('@tensorflow/tfjs-backend-wasm');
  await useBackend(backend);
  models.set(backend, await randomModel(config, { format: 'f32' }));
}
const prefills = new Map(backends.map((name): [string, number[]] => [name, []]));
const decodes = new Map(backends.map((name): [string, number[]] => [name, []]));
for (let round = 0; round <= Number(values.rounds); round++) {
  for (const [backend, model] of models) {
    await tf.setBackend(backend);
    const times = await measure(model);
    if (round === 0) continue; // warm-up
    prefills.get(backend)?.push(times.prefill);
    decodes.get(backend)?.push(...times.steps);
  }
}
console.log(
  `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, node ${process.version}; ` +
    `12 blocks, d_model ${dModel}, f32, prompt ${prompt}`,
);
console.log('backend   prefill tokens/s   decoded tokens/s');
for (const backend of backends) {
  const prefill = prompt / median(prefills.get(backend) ?? []);
  const decode = 1 / median(decodes.get(backend) ?? []);
  console.log(
    `${backend.padEnd(7)}${prefill.toFixed(2).padStart(19)}${decode.toFixed(2).padStart(19)}`,
  );
}
process.exit(0);

async function measure(model: ReneLMHeadModel): Promise<{ prefill: number; steps: number[] }> {
  const state = model.initialState();
  const forward = async (ids: number[]) => {
    const logits = model.forward([ids], { state, logitsToKeep: 1 });
    await logits.data();
    logits.dispose();
  };
  const ids = Array.from({ length: prompt }, (_, i) => 300 + ((i * 7919) % 40000));
  const prefill = await seconds(() => forward(ids));
  const steps: number[] = [];
  for (let i = 0; i < tokens; i++) steps.push(await seconds(() => forward([300 + i])));
  state.dispose();
  return { prefill, steps };
}
