// Our kernels on a WebGPU backend that the user has started.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { skipWithoutWebGpu } from '@rene-js/testing';
import { expect } from 'chai';

describe("webgpu: the user's device", () => {
  before(skipWithoutWebGpu);

  it('is taken over with its default limits, and its tensors stay', async () => {
    const script = fileURLToPath(new URL('./users_device.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [script]);
    const found = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
    const { before: composed, after, launches, limits, isSame, squares } = found;
    expect(limits.maxStorageBuffersPerShaderStage).to.equal(8);
    expect(isSame).to.equal(true);
    expect(squares).to.deep.equal([1, 4, 9]);
    expect(launches).to.equal(1);
    expect(after).to.have.length(composed.length);
    composed.forEach((v: number, i: number) => {
      expect(after[i]).to.be.closeTo(v, 1e-5);
    });
  });
});
