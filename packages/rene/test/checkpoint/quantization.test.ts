// The quantization section of config.json: defaults, and entries of single modules.
import { expect } from 'chai';
import { parseQuantization } from '../../src/checkpoint/quantization.js';

describe('parseQuantization', () => {
  it('reads entries of modules: true for the defaults, false for none, others with their own', () => {
    const plan = parseQuantization(
      {
        quantization: {
          ...{ bits: 2, group_size: 128, mode: 'affine' },
          ...{ 'a.up': true, 'a.down': false, 'a.gate': { bits: 5 } },
          b: { left: { bits: 3, group_size: 32 }, right: false },
          ...{ note: 'text', version: 3, nothing: null },
        },
      },
      'c.json',
    );
    expect(plan?.general).to.deep.equal({ bits: 2, groupSize: 128 });
    expect([...(plan?.modules ?? [])]).to.deep.equal([
      ['a.up', { bits: 4, groupSize: 64 }],
      ['a.down', null],
      ['a.gate', { bits: 5, groupSize: 64 }],
      ['b.left', { bits: 3, groupSize: 32 }],
      ['b.right', null],
    ]);
  });
});
