// dtype 'auto' on backends with different formats and free memory.
import { type ParameterSpec, useBackend, type WeightFormat } from '@rene-js/layers';
import { registerWeightPacker } from '@rene-js/layers/internal';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { chooseFormat } from '../../src/checkpoint/choose_format.js';

const BACKEND = 'formats-test';
const init = () => undefined;
/** A million weights. Vectors do not count. */
const specs: ParameterSpec[] = [
  { name: 'a', shape: [600, 1000], kind: 'matrix', init },
  { name: 'b', shape: [400, 1000], kind: 'matrix', init },
  { name: 'v', shape: [1e9], kind: 'vector', init },
];

const all: WeightFormat[] = ['f32', 'f16', 'bf16', 'int8', 'int4'];
const withoutF16 = all.filter((format) => format !== 'f16');

const cases: [stored: string, formats: WeightFormat[], megabytes: number, WeightFormat, RegExp?][] =
  [
    ['F32', all, 4, 'f32'],
    ['BF16', all, 2, 'bf16'],
    ['F16', all, 2, 'f16'],
    [
      'F16',
      withoutF16,
      2,
      'bf16',
      /stored as f16, which the backend 'formats-test' does not support/,
    ],
    ['F16', ['f32'], 4, 'f32'],
    ['BF16', ['f32'], 1, 'f32'],
    ['F32', withoutF16, 3.9, 'bf16', /need 0\.0 GB as f32, .* loading them as bf16/],
    ['BF16', all, 1.9, 'int8', /as bf16, .* loading them as int8/],
    ['BF16', all, 1, 'int4', /as bf16, .* loading them as int4/],
    // Nothing fits: loading reports the error.
    ['BF16', all, 0.5, 'bf16'],
    // Quantised values stay quantised; the other matrices keep their precision.
    ['int4', all, 0.1, 'f32'],
  ];

describe("dtype 'auto'", () => {
  let room = 0;
  let formats: WeightFormat[] = [];

  before(async () => {
    await useBackend('cpu');
    tf.registerBackend(BACKEND, () => tf.findBackend('cpu'));
    await tf.setBackend(BACKEND);
    registerWeightPacker(BACKEND, {
      get formats() {
        return formats;
      },
      availableBytes: () => room,
      pack: () => Promise.reject(new Error('not called')),
      unpack: () => Promise.reject(new Error('not called')),
    });
  });
  after(async () => {
    await tf.setBackend('cpu');
    tf.removeBackend(BACKEND);
  });

  for (const [stored, held, megabytes, expected, said] of cases) {
    const where = `${held.join(', ')} with ${megabytes} bytes a weight free`;
    it(`${stored} on a backend of ${where} resolves to ${expected}`, () => {
      formats = held;
      room = megabytes * 1e6;
      const notices: string[] = [];
      expect(chooseFormat(stored, specs, (notice) => notices.push(notice))).to.equal(expected);
      if (said) expect(notices).to.have.length(1);
      else expect(notices).to.deep.equal([]);
      if (said) expect(notices[0]).to.match(said);
    });
  }
});
