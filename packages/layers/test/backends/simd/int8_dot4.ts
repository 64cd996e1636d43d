// Compares integer matmuls with four byte products per instruction and with two. Prints the number of
// comparisons: none without relaxed SIMD. Runs in a separate process without the engine's baseline compiler,
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
// int8 values are stored for the four-byte dot product. The other one may read other values.
const formats: WeightFormat[] = runtime.hasInt8Dot4 ? ['int4'] : ['int8', 'int4'];
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
      expect(fours).to.deep.equal(twos);
      compared++;
      tf.dispose([values, x]);
      disposeWeight(weight);
    },
  ),
  { numRuns },
);
process.stdout.write(String(compared));
