// Weights that exceed a backend's memory are refused before they are read; the error names what fits.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { useBackend } from '../../src/backends/use_backend.js';
import { BackendError } from '../../src/errors.js';
import { makeParameters, type ParameterOptions } from '../../src/layers/make_parameters.js';
import { registerWeightPacker, type StoredMatrix } from '../../src/weights/packing.js';

const BACKEND = 'small-test';
const init = () => undefined;
/** Two million weights. */
const specs = [
  { name: 'a', shape: [1000, 1024], kind: 'matrix', init },
  { name: 'b', shape: [1000, 1024], kind: 'matrix', init },
] as const;

describe('weights that fit', () => {
  let maximumBytes = 0;
  let packed = 0;

  before(async () => {
    await useBackend('cpu');
    tf.registerBackend(BACKEND, () => tf.findBackend('cpu'));
    await tf.setBackend(BACKEND);
    registerWeightPacker(BACKEND, {
      formats: ['f32', 'bf16', 'int8', 'int4'],
      get maximumBytes() {
        return maximumBytes;
      },
      async pack() {
        packed++;
        throw new Error('packed');
      },
      unpack: () => Promise.reject(new Error('not called')),
    });
  });
  after(async () => {
    await useBackend('cpu');
    tf.removeBackend(BACKEND);
  });

  /** A matrix as it is stored; of int4, its values are never read here. */
  const matrix = (isInt4: boolean): StoredMatrix => ({
    shape: [1000, 1024],
    dtype: 'BF16',
    readRows: () => Promise.reject(new Error('read')),
    ...(isInt4 && {
      quantized: {
        format: 'int4',
        shape: [1000, 1024],
        groupSize: 64,
        parameterDType: 'BF16',
        readRows: () => Promise.reject(new Error('read')),
      },
    }),
  });

  async function load(options: ParameterOptions, isInt4 = false): Promise<string> {
    const source = {
      matrix: async () => matrix(isInt4),
      values: () => Promise.reject(new Error('none')),
    };
    const error = await makeParameters(specs, options, source).catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(Error);
    if (error instanceof BackendError) return error.message;
    return String(error);
  }

  for (const [bytes, format, expected] of [
    [4e6, 'f32', /need 0\.0 GB as f32, .*at most 0\.0 GB: load them as int8 \(0\.0 GB\), int4/],
    [2e6, 'bf16', /as bf16, .*: load them as int4 \(/],
    [
      1e6,
      'int8',
      /as int8, .*: use another backend, or a model of at most 1 million weights as int4/,
    ],
    [4.1e6, 'bf16', /^Error: packed$/],
  ] as const) {
    it(`are refused or not: ${format} in ${bytes} bytes`, async () => {
      maximumBytes = bytes;
      packed = 0;
      const message = await load({ format });
      expect(message).to.match(expected);
      expect(packed).to.equal(message.includes('packed') ? 1 : 0);
    });
  }

  it('count as int4 where they stay as they are stored', async () => {
    maximumBytes = 2e6;
    const kept = { format: 'bf16', keepQuantized: true } as const;
    expect(await load(kept, true)).to.match(/^Error: packed$/);
    expect(await load(kept, false)).to.match(/as they are stored, .* load them as int4/);
    maximumBytes = 1e6;
    expect(await load(kept, true)).to.match(/as they are stored, .* at most 1 million weights/);
  });
});
