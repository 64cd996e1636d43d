// The GPU memory of a small model on 'webgpu': no buffer is left behind, and no binding is larger than the device
// allows.
import { useBackend } from '@rene-js/layers';
import { webGpuInfo } from '@rene-js/layers/webgpu';
import {
  countBuffers,
  currentGpuDevice,
  goldenPath,
  limitBindings,
  skipWithoutWebGpu,
} from '@rene-js/testing';
import { expect } from 'chai';
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
    const limited = limitBindings(currentGpuDevice(), most);
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
});
