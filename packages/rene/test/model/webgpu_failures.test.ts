// A GPU that goes away or runs out of memory: typed errors that say what to do, and nothing is left behind.
import { useBackend } from '@rene-js/layers';
import { GpuDeviceLostError, GpuOutOfMemoryError, webGpuInfo } from '@rene-js/layers/webgpu';
import { currentGpuDevice, goldenPath, skipWithoutWebGpu } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { ReneLMHeadModel } from '../../src/rene_model.js';

const prompt = [5, 40, 31, 7];
const checkpoint = goldenPath('tiny-gqa');

function load(): Promise<ReneLMHeadModel> {
  return ReneLMHeadModel.fromPretrained(checkpoint, { backend: 'webgpu', dtype: 'int4' });
}

async function generate(model: ReneLMHeadModel): Promise<number[] | undefined> {
  return (await model.generate(prompt, { maxNewTokens: 3, eosTokenId: null })).sequences[0];
}

/** What a promise is rejected with. */
function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'nothing is thrown',
    (error: unknown) => error,
  );
}

/** Reports an error as a device does that cannot hold a buffer. */
function reportOutOfMemory(device: GPUDevice): void {
  const error = new GPUOutOfMemoryError('Allocation failed');
  device.dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error }));
  const follows = new GPUValidationError('the buffer is invalid');
  device.dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error: follows }));
}

describe('webgpu: failures of the GPU', () => {
  before(skipWithoutWebGpu);

  it('a lost device is a typed error everywhere; the model can be loaded again', async () => {
    await useBackend('webgpu');
    const { buffers } = webGpuInfo();
    const model = await load();
    const expected = await generate(model);
    const before = tf.memory().numTensors;
    const kept = tf.tidy(() => tf.square(tf.tensor1d([1, 2])));
    const state = await model.prefill(prompt);
    let tokens = 0;
    const broken = model.generate(prompt, {
      maxNewTokens: 9,
      onProgress: () => {
        if (++tokens === 4) currentGpuDevice().destroy();
      },
    });
    const error = await rejection(broken);
    expect(error).to.be.instanceOf(GpuDeviceLostError);
    expect(String(error)).to.match(/lost .*load the model again.*or use the backend 'simd'/);
    expect(await rejection(kept.data())).to.be.instanceOf(GpuDeviceLostError);
    expect(await rejection(generate(model))).to.be.instanceOf(GpuDeviceLostError);
    expect(await rejection(model.prefill(prompt))).to.be.instanceOf(GpuDeviceLostError);
    tf.dispose(kept);
    state.dispose();
    expect(tf.memory().numTensors).to.equal(before);
    model.dispose();
    expect(webGpuInfo().buffers.inUse, 'buffers left behind').to.be.at.most(buffers.inUse + 1);

    const again = await load();
    expect(await generate(again)).to.deep.equal(expected);
    again.dispose();
  });

  it('a device that is lost while weights are read is not read on', async () => {
    await useBackend('webgpu');
    const { buffers } = webGpuInfo();
    const loading = ReneLMHeadModel.fromPretrained(checkpoint, {
      backend: 'webgpu',
      onProgress: () => currentGpuDevice().destroy(),
    });
    expect(await rejection(loading)).to.be.instanceOf(GpuDeviceLostError);
    expect(webGpuInfo().buffers.inUse, 'buffers left behind').to.equal(buffers.inUse);
    await useBackend('webgpu');
  });

  it('no memory for a weight: kept blocks are freed first, then a typed error', async () => {
    await useBackend('webgpu');
    const device = currentGpuDevice();
    const popErrorScope = device.popErrorScope.bind(device);
    const { numTensors } = tf.memory();
    const { buffers } = webGpuInfo();
    for (const refusals of [1, Number.POSITIVE_INFINITY]) {
      let left = refusals;
      device.popErrorScope = async () => {
        await popErrorScope();
        return left-- > 0 ? new GPUOutOfMemoryError('Allocation failed') : null;
      };
      const loaded = await rejection(load().then((model) => model.dispose()));
      if (refusals === 1) expect(loaded).to.equal('nothing is thrown');
      else {
        expect(loaded).to.be.instanceOf(GpuOutOfMemoryError);
        expect(String(loaded)).to.match(/MiB \(Allocation failed\): .*int8 or int4.*'simd'/);
      }
      device.popErrorScope = popErrorScope;
      expect(tf.memory().numTensors).to.equal(numTensors);
      expect(webGpuInfo().buffers.inUse, 'buffers left behind').to.equal(buffers.inUse);
    }
  });

  it('no memory for anything else: the next read says so, once, and later work is sound', async () => {
    const model = await load();
    const expected = await generate(model);
    const { errors } = webGpuInfo();
    reportOutOfMemory(currentGpuDevice());
    const error = await rejection(generate(model));
    expect(error, 'the first error, not what follows from it').to.be.instanceOf(
      GpuOutOfMemoryError,
    );
    expect(String(error)).to.match(/fewer or shorter sequences/);
    expect(await generate(model)).to.deep.equal(expected);
    expect(webGpuInfo().errors).to.equal(errors + 2);
    model.dispose();
  });
});
