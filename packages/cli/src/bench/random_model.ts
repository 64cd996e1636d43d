// A model with random weights, loaded like a bf16 checkpoint, for benchmarks without one.
import {
  initializers,
  type ParameterOptions,
  type ParameterSpec,
  type StoredMatrix,
} from '@rene-js/layers';
import { narrow } from '@rene-js/layers/internal';
import { CausalLM, type ModelConfig } from '@rene-js/rene';
import { blueprintOf, makeModelParameters } from '@rene-js/rene/internal';
import seedrandom from 'seedrandom';

/** Number of random values. The matrices repeat them. */
const DRAWN = 1 << 20;

/**
 * Fills the matrices with one repeated block of random values, so that this takes no longer than loading a
 * file. Only the variety of the bits matters.
 */
export async function randomModel<Config extends ModelConfig>(
  config: Config,
  options: ParameterOptions,
): Promise<CausalLM<Config>> {
  const drawn = new Float32Array(DRAWN);
  initializers.normal(0.02)(drawn, seedrandom.alea('bench'));
  const noise = narrow(drawn, 'BF16');
  const parameters = await makeModelParameters(blueprintOf(config), options, {
    values: async (spec) => vector(spec),
    matrix: async (spec) => repeated(noise, spec),
  });
  return new CausalLM(config, parameters);
}

function vector(spec: ParameterSpec): Float32Array {
  const values = new Float32Array(spec.shape.reduce((size, axis) => size * axis, 1));
  spec.init(values, seedrandom.alea(spec.name));
  return values;
}

function repeated(
  noise: Uint8Array,
  { shape: [rows = 0, columns = 0] }: ParameterSpec,
): StoredMatrix {
  return {
    shape: [rows, columns],
    dtype: 'BF16',
    readRows(first, count) {
      const bytes = new Uint8Array(count * columns * 2);
      for (let at = 0; at < bytes.length; ) {
        const from = (first * columns * 2 + at) % noise.length;
        const part = noise.subarray(from, from + Math.min(noise.length - from, bytes.length - at));
        bytes.set(part, at);
        at += part.length;
      }
      return bytes;
    },
  };
}
