// Stored matrices convert to f32 exactly, in pieces; another backend's packed weight is refused.
import {
  BackendError,
  embeddingLookup,
  type PackedWeight,
  packedMatMul,
  ReneError,
  rowsWeight,
  type StoredDType,
  weightPacker,
} from '@rene-js/layers';
import { readAsF32, widen } from '@rene-js/layers/internal';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { describeOnBackends } from '../backends.js';

/** The value of a half-precision number, by its definition. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -14;
  return sign * (1 + fraction) * 2 ** (exponent - 15);
}

function bytesOf(halves: ArrayLike<number>): Uint8Array {
  return new Uint8Array(Uint16Array.from(halves).buffer);
}

describe('widen', () => {
  it('converts each of the 65536 f16 values', () => {
    const halves = Array.from({ length: 65536 }, (_, i) => i);
    const values = new Float32Array(65536);
    widen(bytesOf(halves), 'F16', values);
    for (const bits of halves) {
      const expected = halfValue(bits);
      if (!Object.is(values[bits], expected) && !Number.isNaN(expected)) {
        expect.fail(`half ${bits.toString(16)}: ${values[bits]}, expected ${expected}`);
      }
      if (Number.isNaN(expected)) expect(values[bits]).to.be.NaN;
    }
  });

  it('converts each bf16 value to the f32 with that upper half', () => {
    const halves = Array.from({ length: 65536 }, (_, i) => i);
    const values = new Float32Array(65536);
    widen(bytesOf(halves), 'BF16', values);
    const bits = new Uint32Array(values.buffer);
    expect(bits.every((value, i) => value === i * 65536)).to.equal(true);
  });

  it('reads bytes at any alignment', () => {
    for (const [dtype, bytes, expected] of [
      ['F32', new Uint8Array(Float32Array.of(1.5, -2).buffer), [1.5, -2]],
      ['BF16', bytesOf([0x3fc0, 0xc000]), [1.5, -2]],
      ['F16', bytesOf([0x3e00, 0xc000]), [1.5, -2]],
    ] as const) {
      for (const offset of [0, 1, 2, 3]) {
        const moved = new Uint8Array(bytes.length + offset);
        moved.set(bytes, offset);
        const values = new Float32Array(2);
        widen(moved.subarray(offset), dtype, values);
        expect(Array.from(values), `${dtype} at ${offset}`).to.deep.equal([...expected]);
      }
    }
  });
});

describeOnBackends('weights', () => {
  /** Matrices larger than a piece, with a count of reads. */
  it('are read once, in pieces of whole rows', async () => {
    const [rows, columns] = [5, 3 << 20];
    const reads: [number, number][] = [];
    const values = await readAsF32({
      shape: [rows, columns],
      dtype: 'BF16',
      readRows: (first, count) => {
        reads.push([first, count]);
        const halves = new Uint16Array(count * columns);
        for (let row = 0; row < count; row++) {
          halves.fill(0x3f80 + first + row, row * columns, (row + 1) * columns);
        }
        return new Uint8Array(halves.buffer);
      },
    });
    expect(reads.reduce((sum, [, count]) => sum + count, 0)).to.equal(rows);
    expect(reads.length).to.be.above(1);
    for (let row = 0; row < rows; row++) {
      const expected = 1 + row / 128;
      expect([values[row * columns], values[(row + 1) * columns - 1]]).to.deep.equal([
        expected,
        expected,
      ]);
    }
  });

  it('unpack to the packed f32 values', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom<StoredDType>('F32', 'BF16', 'F16'),
        async (rows, columns, dtype) => {
          const stored =
            dtype === 'F32'
              ? new Uint8Array(Float32Array.from({ length: rows * columns }, Math.sin).buffer)
              : bytesOf(Array.from({ length: rows * columns }, (_, i) => (i * 37) % 0x3f80));
          const rowBytes = columns * (dtype === 'F32' ? 4 : 2);
          const readRows = (first: number, count: number) =>
            stored.slice(first * rowBytes, (first + count) * rowBytes);
          const packer = weightPacker();
          const weight = await packer.pack({ shape: [rows, columns], dtype, readRows }, 'f32', 64);
          const expected = new Float32Array(rows * columns);
          widen(stored, dtype, expected);
          const actual = await packer.unpack(weight);
          weight.tensor.dispose();
          expect(Array.from(actual)).to.deep.equal(Array.from(expected));
        },
      ),
      { seed: 1, numRuns: 20 },
    ));

  it('of another backend are refused by format and layout', () => {
    const tensor = tf.zeros([2, 3]);
    const [x, ids] = [tf.ones([1, 3]), tf.tensor1d([1], 'int32')];
    const foreign: PackedWeight = { ...rowsWeight(tensor), format: 'int4', layout: 'abacus' };
    const { numTensors } = tf.memory();
    for (const run of [() => packedMatMul(x, foreign), () => embeddingLookup(ids, foreign)]) {
      expect(run).to.throw(BackendError, /int4.*'abacus'|'abacus'.*int4/s);
    }
    expect(tf.memory().numTensors).to.equal(numTensors);
    tf.dispose([tensor, x, ids]);
  });

  it('must be matrices', () => {
    const vector = tf.zeros([3]);
    expect(() => rowsWeight(vector)).to.throw(ReneError, /two axes/);
    vector.dispose();
  });
});
