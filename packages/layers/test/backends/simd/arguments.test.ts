import { expect } from 'chai';
import { ArgumentLayout } from '../../../src/backends/simd/arguments.js';

enum Words {
  x,
  scale = 3,
  count,
  isFirst,
}

describe('arguments of a simd job', () => {
  const layout = new ArgumentLayout(Words, ['scale']);
  const newWords = () => {
    const args = new Int32Array(8).fill(-1);
    return { args, numbers: new Float32Array(args.buffer) };
  };

  it('writes each word where the enum has it, floats and flags among them', () => {
    const words = newWords();
    layout.write(words, { x: 7, scale: 0.5, count: 9, isFirst: true });
    expect([...words.args]).to.deep.equal([7, -1, -1, words.args[3], 9, 1, -1, -1]);
    expect(words.numbers[3]).to.equal(0.5);
  });

  it('takes a word from the second object rather than from the first, 0 and false too', () => {
    const words = newWords();
    const call = { x: 7, scale: 2, count: 9, isFirst: true, activation: 'silu' };
    layout.write(words, call, { x: 0, isFirst: false });
    expect([words.args[0], words.args[4], words.args[5]]).to.deep.equal([0, 9, 0]);
    expect(words.numbers[3]).to.equal(2);
  });
});
