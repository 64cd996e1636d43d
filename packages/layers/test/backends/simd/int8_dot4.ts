// Compares int4 matmuls with four byte products per instruction and with two; where the engine has that
// instruction, also int8 matmuls, whose activations then have more steps. Prints the number of comparisons:
// none without relaxed SIMD. Runs in a separate process without the engine's baseline compiler,
// whose add form of the dot product is wrong in Node 20.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { asSimd } from '../../../src/backends/simd/backend.js';
import type { Runtime } from '../../../src/backends/simd/runtime.js';
import {
  disposeWeight,
  packedMatMul,
  type WeightFormat,
  weightPacker,
} from '../../../src/index.js';
import { uniform, useSimd } from './both.js';

await useSimd();
const runtime: Runtime = asSimd(tf.backend()).runtime;
let compared = 0;
const numRuns = runtime.relaxedSimd ? 80 : 0;
// Emulated sums of four overflow with as many steps as int8 weights' activations have where they do not.
const formats: WeightFormat[] = runtime.hasInt8Dot4 ? ['int8', 'int4'] : ['int4'];
await fc.assert(
  fc.asyncProperty(
    fc.record({
      rows: fc.integer({ min: 1, max: 40 }),
      outFeatures: fc.integer({ min: 1, max: 90 }),
      columns: fc.integer({ min: 1, max: 300 }),
      format: fc.constantFrom(...formats),
      group: fc.constantFrom(32, 64),
      // Values of one sign have large sums, up to what 16 bits can hold.
      offset: fc.constantFrom(0, 1),
    }),
    async ({ rows, outFeatures, columns, format, group, offset }) => {
      const values = tf.tidy(() => tf.add(uniform('w', [outFeatures, columns]), offset));
      const bytes = new Uint8Array(Float32Array.from(values.dataSync()).buffer);
      const readRows = (first: number, count: number) =>
        bytes.subarray(first * columns * 4, (first + count) * columns * 4);
      const weight = await weightPacker().pack(
        { shape: [outFeatures, columns], dtype: 'F32', readRows },
        format,
        group,
      );
      const x = tf.tidy(() => tf.add(uniform('x', [rows, columns]), offset));
      const [fours, twos] = [true, false].map((hasInt8Dot4) => {
        runtime.hasInt8Dot4 = hasInt8Dot4;
        return tf.tidy(() => packedMatMul(x, weight).dataSync());
      });
      if (format === 'int4') expect(fours).to.deep.equal(twos);
      else {
        runtime.hasInt8Dot4 = true;
        const last = tf.tidy(() => packedMatMul(tf.slice(x, rows - 1), weight).dataSync());
        expect(fours?.slice(-outFeatures)).to.deep.equal(last);
        const dense = tf.tensor2d(await weightPacker().unpack(weight), [outFeatures, columns]);
        const exact = tf.tidy(() => tf.matMul(x, dense, false, true).dataSync());
        dense.dispose();
        // Six standard deviations of roundings by half of 1/127 of the largest activation, times weights.
        const bound = (6 * (1 + offset) ** 2 * Math.sqrt(columns)) / (254 * Math.sqrt(3));
        fours?.forEach((value, i) => {
          expect(Math.abs(value - (exact[i] ?? 0))).to.be.below(bound);
        });
      }
      compared++;
      tf.dispose([values, x]);
      disposeWeight(weight);
    },
  ),
  { numRuns },
);
process.stdout.write(String(compared));
