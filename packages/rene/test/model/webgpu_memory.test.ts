// The GPU memory of a small model on 'webgpu': no buffer is left behind, and no binding is larger than the device
// allows.
import { useBackend } from '@rene-js/layers';
import { weightBytes } from '@rene-js/layers/internal';
import { webGpuInfo } from '@rene-js/layers/webgpu';
import {
  countBuffers,
  currentGpuDevice,
  goldenPath,
  limitDevice,
  skipWithoutWebGpu,
} from '@rene-js/testing';
import { expect } from 'chai';
import { reneConfig } from '../../src/config.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';

const prompt = [7, 40, 31];
const options = { maxNewTokens: 3, eosTokenId: null };

function load(dtype: 'f32' | 'int4', backend = 'webgpu'): Promise<ReneLMHeadModel> {
  return ReneLMHeadModel.fromPretrained(goldenPath('tiny-gqa'), { backend, dtype });
}

describe('webgpu: memory', () => {
  before(skipWithoutWebGpu);

  it('generate, abort, an early end of a stream and dispose leave no buffer behind', async () => {
    await useBackend('webgpu');
    const { errors } = webGpuInfo();
    const counted = countBuffers(currentGpuDevice());
    const round = async () => {
      const model = await load('int4');
      await model.generate([prompt, prompt.slice(1)], options);
      const controller = new AbortController();
      const onProgress = ({ newTokens }: { newTokens: number }) => {
        if (newTokens === 2) controller.abort();
      };
      const aborted = model.generate(prompt, { ...options, onProgress, signal: controller.signal });
      await aborted.then(
        () => expect.fail('it is aborted'),
        () => undefined,
      );
      for await (const _ of model.stream(prompt, options)) break;
      const state = await model.prefill(prompt);
      state.dispose();
      model.dispose();
    };
    await round();
    const { buffers } = webGpuInfo();
    const before = counted.alive();
    await round();
    expect(counted.alive(), 'buffers').to.equal(before);
    expect(webGpuInfo().buffers, 'blocks in use').to.deep.equal(buffers);
    expect(buffers.inUse, 'blocks after the model is gone').to.be.at.most(1);
    expect(webGpuInfo().errors, 'errors of the device').to.equal(errors);
    counted.stop();
  });

  it('weights larger than a binding are used in parts, the head among them', async () => {
    const simd = await load('f32', 'simd');
    const expected = await simd.generate(prompt, options);
    simd.dispose();

    await useBackend('webgpu');
    const most = 12 << 10;
    const limited = limitDevice(currentGpuDevice(), { maxStorageBufferBindingSize: most });
    try {
      const model = await load('f32');
      const found = await model.generate(prompt, options);
      expect(found.sequences).to.deep.equal(expected.sequences);
      model.dispose();
      // The head has 15 KiB, the first matrix of a mixer 45.
      expect(limited.largest())
        .to.be.above(most * 0.9)
        .and.at.most(most);
    } finally {
      limited.restore();
    }
  });

  it("a token reads each weight once, in launches that fit WebGPU's default of 8 buffers", async () => {
    await useBackend('webgpu');
    const config = reneConfig({
      ...{ dModel: 64, nLayer: 3, vocabSize: 60, attnLayerIdx: [1], mlpLayerIdx: [2] },
      ...{ ssm: { headDim: 16, dState: 16 }, attn: { numHeads: 2, slidingWindowLength: 8 } },
    });
    const model = await ReneLMHeadModel.fromConfig(config, { backend: 'webgpu', dtype: 'int4' });
    let bytes = 0;
    for (const parameter of model.parameters.values()) {
      if (!('format' in parameter)) continue;
      bytes += weightBytes(parameter.format, parameter.shape, parameter.groupSize);
    }
    const device = currentGpuDevice();
    const limited = limitDevice(device, { maxStorageBuffersPerShaderStage: 8 });
    try {
      const step = model.compileStep(2);
      const state = model.initialState(1);
      for (const row of [0, 1]) {
        step?.join(state.layers, 0, 0);
        const params = { random: 0, temperature: 0, topK: 0, topP: 1, minP: 0 };
        const before = webGpuInfo().weightBytes;
        await step?.sample?.(row === 0 ? [3] : [3, 4], row === 0 ? [params] : [params, params]);
        const read = webGpuInfo().weightBytes - before;
        expect(read / bytes, 'of the bytes of the file').to.be.within(1, 1.05);
        expect(step?.kernels(), 'launches').to.equal(3 + 3 + 2 + 3);
      }
      expect(limited.mostBuffers()).to.be.at.most(8);
      state.dispose();
      step?.dispose();
    } finally {
      limited.restore();
    }
    model.dispose();
  });
});
