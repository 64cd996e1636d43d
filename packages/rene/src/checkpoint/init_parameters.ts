// A fresh model's parameters: random, but the same for the same seed, name and shape.
import type { Parameter, ParameterSpec, StoredMatrix } from '@rene-js/layers';
import seedrandom from 'seedrandom';
import { makeParameters, type ParameterOptions } from './load_parameters.js';
import { sizeOf } from './tensor_file.js';

/**
 * Draws the parameters of a model by each one's own initialisation. Each has a generator of its
 * own, seeded by `${seed}:${name}`, so that neither their order nor their number matters.
 */
export function initParameters(
  specs: readonly ParameterSpec[],
  seed: string | number,
  options: ParameterOptions = {},
): Promise<Map<string, Parameter>> {
  const draw = (spec: ParameterSpec): Float32Array => {
    const values = new Float32Array(sizeOf(spec.shape));
    // Alea is by far the fastest of seedrandom's generators; the default one needs 30 times longer.
    spec.init(values, seedrandom.alea(`${seed}:${spec.name}`));
    return values;
  };
  return makeParameters(specs, options, {
    values: async (spec) => draw(spec),
    matrix: async (spec) => inMemory(draw(spec), spec),
  });
}

function inMemory(values: Float32Array, { shape: [rows = 0, columns = 0] }: ParameterSpec) {
  const matrix: StoredMatrix = {
    shape: [rows, columns],
    dtype: 'F32',
    readRows: (first, count) =>
      new Uint8Array(
        values.buffer,
        values.byteOffset + first * columns * Float32Array.BYTES_PER_ELEMENT,
        count * columns * Float32Array.BYTES_PER_ELEMENT,
      ),
  };
  return matrix;
}
