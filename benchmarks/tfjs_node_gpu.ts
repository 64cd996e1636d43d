// Rene on tfjs-node-gpu (or tfjs-node): prefill and decode, and the TensorFlow ops that a token takes.
//
//   npm install --no-save @tensorflow/tfjs-node-gpu    # an NVIDIA GPU, CUDA 11.2, cuDNN 8.1
//   npm run build && node benchmarks/dist/tfjs_node_gpu.js [--layers 48] [--d-model 2048]
import { parseArgs } from 'node:util';
import { useBackend } from '@rene-js/layers';
import { ReneLMHeadModel, reneConfig, reneConfig1_3B } from '@rene-js/rene';
import * as tf from '@tensorflow/tfjs-core';

const { values } = parseArgs({
  options: {
    layers: { type: 'string', default: '48' },
    'd-model': { type: 'string', default: '2048' },
    tokens: { type: 'string', default: '32' },
    prompt: { type: 'string', default: '512' },
  },
});
const nLayer = Number(values.layers);
const dModel = Number(values['d-model']);
const decoded = Number(values.tokens);
const promptLength = Number(values.prompt);

await useBackend('tensorflow');
const backend: object = tf.backend();
const gpu = 'isUsingGpuDevice' in backend && backend.isUsingGpuDevice === true;
console.log(`TensorFlow on the ${gpu ? 'GPU' : 'CPU (no GPU found by TensorFlow)'}`);

const { attn } = reneConfig1_3B;
const config = reneConfig({
  dModel,
  nLayer,
  attnLayerIdx: reneConfig1_3B.attnLayerIdx.filter((i) => i < nLayer),
  attn: attn && { ...attn, numHeads: dModel / attn.headDim, numHeadsKv: dModel / attn.headDim },
  mlpLayerIdx: reneConfig1_3B.mlpLayerIdx.filter((i) => i < nLayer),
});
const model = await ReneLMHeadModel.fromConfig(config, { backend: 'tensorflow' });
const prompt = Array.from({ length: promptLength }, (_, i) => i % config.vocabSize);

for (const batch of [1, 8]) {
  const rows = Array.from({ length: batch }, () => prompt);
  const state = model.initialState(batch);
  const step = async (ids: number[][]) => {
    const logits = model.forward(ids, { state, logitsToKeep: 1 });
    await logits.data();
    logits.dispose();
  };
  await step(rows.map(() => [1])); // warm up
  const prefill = await seconds(() => step(rows));
  const decode = await seconds(async () => {
    for (let i = 0; i < decoded; i++) await step(rows.map(() => [i]));
  });
  state.dispose();
  const perSecond = (tokens: number, time: number) => (tokens / time).toFixed(1).padStart(9);
  console.log(`batch ${batch}: prefill ${perSecond(batch * promptLength, prefill)} tokens/s`);
  console.log(`         decode  ${perSecond(batch * decoded, decode)} tokens/s`);
}

const state = model.initialState(1);
const { kernels } = await tf.profile(() => {
  model.forward([[1]], { state }).dispose();
});
state.dispose();
const kernelNames = new Set(['RmsNorm', 'GatedRmsNorm', 'CausalConv1d', 'SsdScan', 'PackedMatMul']);
const ours = new Set([...kernelNames, 'SlidingWindowAttention', 'Mamba2Mixer', 'GatedMLP']);
const tfOps = kernels.filter(({ name }) => !ours.has(name)).length;
console.log(`a decoded token takes ${tfOps} TensorFlow ops`);
model.dispose();

async function seconds(run: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1000;
}
