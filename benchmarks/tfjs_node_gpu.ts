// Rene on tfjs-node-gpu (or tfjs-node), with our CUDA kernels as TensorFlow ops and with TensorFlow's
// composed ops: prefill, decode, and the number of TensorFlow ops per token.
//
//   npm install --no-save @tensorflow/tfjs-node-gpu    # an NVIDIA GPU, CUDA 11.2, cuDNN 8.1
//   npm run build && npx tsc -p benchmarks && node benchmarks/dist/tfjs_node_gpu.js
//
// On a CPU, `--kernels custom` runs the kernels on the emulated device: the number of ops is meaningful, the
// time is not.
import { parseArgs } from 'node:util';
import { useBackend, type WeightFormat } from '@rene-js/layers';
import {
  type TensorflowKernels,
  traceTensorflowOps,
  useTensorflowKernels,
} from '@rene-js/layers/tensorflow';
import { ReneLMHeadModel, reneConfig, reneConfig1_3B } from '@rene-js/rene';

const { values } = parseArgs({
  options: {
    layers: { type: 'string', default: '48' },
    'd-model': { type: 'string', default: '2048' },
    tokens: { type: 'string', default: '32' },
    prompt: { type: 'string', default: '512' },
    batches: { type: 'string', default: '1,8' },
    /** custom, composed, or both separated by a comma. */
    kernels: { type: 'string', default: 'composed,custom' },
    /** Weight formats of the custom kernels; composed ones use f32. */
    dtypes: { type: 'string', default: 'f32,bf16,int8,int4' },
  },
});
const nLayer = Number(values.layers);
const dModel = Number(values['d-model']);
const decoded = Number(values.tokens);
const promptLength = Number(values.prompt);
const formats: readonly WeightFormat[] = ['f32', 'bf16', 'f16', 'int8', 'int4'];

const { attn } = reneConfig1_3B;
const config = reneConfig({
  dModel,
  nLayer,
  attnLayerIdx: reneConfig1_3B.attnLayerIdx.filter((i) => i < nLayer),
  attn: attn && { ...attn, numHeads: dModel / attn.headDim, numHeadsKv: dModel / attn.headDim },
  mlpLayerIdx: reneConfig1_3B.mlpLayerIdx.filter((i) => i < nLayer),
});
const prompt = Array.from({ length: promptLength }, (_, i) => i % config.vocabSize);

await useBackend('tensorflow');
for (const wanted of values.kernels.split(',')) {
  const choice: TensorflowKernels = wanted === 'custom' ? 'custom' : 'composed';
  const { device, kernels } = await useTensorflowKernels(choice);
  for (const dtype of values.dtypes.split(',')) {
    const format = formats.find((name) => name === dtype);
    if (!format)
      throw new Error(`--dtypes: expected some of ${formats.join(', ')}, found ${dtype}`);
    if (kernels === 'composed' && format !== 'f32') continue;
    console.log(`TensorFlow on the ${device}, ${kernels} kernels, ${format} weights`);
    await measure(format);
  }
}

async function measure(dtype: WeightFormat): Promise<void> {
  const model = await ReneLMHeadModel.fromConfig(config, { backend: 'tensorflow', dtype });
  for (const batch of values.batches.split(',').map(Number)) {
    const rows = Array.from({ length: batch }, () => prompt);
    const state = model.initialState(batch);
    const step = async (ids: number[][]) => {
      const logits = model.forward(ids, { state, logitsToKeep: 1 });
      await logits.data();
      logits.dispose();
    };
    await step(rows.map(() => [1])); // warm-up
    const prefill = await seconds(() => step(rows));
    const decode = await seconds(async () => {
      for (let i = 0; i < decoded; i++) await step(rows.map(() => [i]));
    });
    state.dispose();
    const perSecond = (tokens: number, time: number) => (tokens / time).toFixed(1).padStart(9);
    console.log(`  batch ${batch}: prefill ${perSecond(batch * promptLength, prefill)} tokens/s`);
    console.log(`           decode  ${perSecond(batch * decoded, decode)} tokens/s`);
  }
  const state = model.initialState(1);
  const step = () => model.forward([[1]], { state }).dispose();
  step(); // the first step copies the state, later ones update it in place
  const ops = traceTensorflowOps(step);
  state.dispose();
  model.dispose();
  const own = ops.filter((name) => name.startsWith('Rene')).length;
  console.log(`  a decoded token takes ${ops.length} TensorFlow ops, ${own} of them ours`);
}

async function seconds(run: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1000;
}
