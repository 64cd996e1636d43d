// Makes a layer's parameters from a file or a random number generator.
import * as tf from '@tensorflow/tfjs-core';
import seedrandom from 'seedrandom';
import { BackendError, InvalidArgumentError } from '../errors.js';
import {
  disposeWeight,
  type PackedWeight,
  rowsWeight,
  type WeightFormat,
} from '../weights/packed_weight.js';
import {
  FORMAT_BITS,
  readAsF32,
  type StoredMatrix,
  weightBytes,
  weightPacker,
} from '../weights/packing.js';
import { type Parameter, type ParameterSpec, Parameters } from './parameters.js';

/** Options for the parameters in memory. */
export interface ParameterOptions {
  /** dtype of the matrices; the current backend must support it. Default: 'f32'. */
  format?: WeightFormat;
  /** Columns per scale in int8 and int4. Default: 64. */
  groupSize?: number;
  /** Keep matrices that are stored quantised as they are, if the backend can. Default: false. */
  keepQuantized?: boolean;
  /**
   * Keep matrices whose columns are not a multiple of the group size as bf16 if they are stored so, else as
   * f32, as the format of quantised files requires. Default: false.
   */
  wholeGroups?: boolean;
  /** Make tf.variable's in f32, for training. Default: false. */
  trainable?: boolean;
  /** Called after each parameter. */
  onProgress?: (progress: ParameterProgress) => void;
}

/** Progress of loading parameters. */
export interface ParameterProgress {
  /** The last loaded parameter. */
  readonly name: string;
  /** Number of loaded parameters, and their total. */
  readonly loaded: number;
  readonly total: number;
  /** Number of values in them, and their total. */
  readonly loadedValues: number;
  readonly totalValues: number;
}

/** A source of parameter values: a file or a random number generator. */
export interface ParameterValues {
  /** A matrix, read a few rows at a time. */
  matrix(spec: ParameterSpec): Promise<StoredMatrix>;
  /** A vector, as a whole. */
  values(spec: ParameterSpec): Promise<Float32Array>;
}

/** Loads all parameters, one after the other. */
export async function makeParameters(
  specs: readonly ParameterSpec[],
  options: ParameterOptions,
  source: ParameterValues,
): Promise<Map<string, Parameter>> {
  const { format = 'f32', trainable = false, onProgress } = options;
  if (!Object.hasOwn(FORMAT_BITS, format)) {
    const known = Object.keys(FORMAT_BITS).join(', ');
    throw new InvalidArgumentError('format', `one of ${known}`, `'${format}'`);
  }
  if (trainable && format !== 'f32') {
    throw new InvalidArgumentError('format', "'f32' for trainable parameters", `'${format}'`);
  }
  await checkRoom(specs, options, source);
  const totalValues = specs.reduce((sum, spec) => sum + sizeOf(spec), 0);
  const made = new Map<string, Parameter>();
  let loadedValues = 0;
  try {
    for (const spec of specs) {
      if (spec.kind === 'vector') {
        const tensor = tf.tensor(await source.values(spec), [...spec.shape]);
        made.set(spec.name, trainable ? asVariable(tensor) : tf.keep(tensor));
      } else if (trainable) {
        const matrix = await source.matrix(spec);
        const tensor = tf.tensor2d(await readAsF32(matrix), [...matrix.shape]);
        made.set(spec.name, rowsWeight(asVariable(tensor)));
      } else {
        const matrix = await source.matrix(spec);
        made.set(spec.name, await packMatrix(matrix, options));
      }
      loadedValues += sizeOf(spec);
      const { name } = spec;
      onProgress?.({ name, loaded: made.size, total: specs.length, loadedValues, totalValues });
    }
    return made;
  } catch (error) {
    disposeParameters(made);
    throw error;
  }
}

/**
 * Fails early if the weights exceed the backend's memory.
 *
 * @throws BackendError that names the formats that fit
 */
async function checkRoom(
  specs: readonly ParameterSpec[],
  { format = 'f32', groupSize, keepQuantized = false }: ParameterOptions,
  source: ParameterValues,
): Promise<void> {
  const { maximumBytes, formats } = weightPacker();
  if (maximumBytes === undefined) return;
  const matrices = specs.filter(({ kind }) => kind === 'matrix');
  const bytesIn = ({ shape: [rows = 0, columns = 0] }: ParameterSpec, other: WeightFormat) =>
    weightBytes(other, [rows, columns], groupSize);
  const bytesAs = (other: WeightFormat) =>
    matrices.reduce((sum, spec) => sum + bytesIn(spec, other), 0);
  let bytes = bytesAs(format);
  let name = `as ${format}`;
  if (bytes > maximumBytes && keepQuantized) {
    // Quantised values may be smaller than the format of the others.
    bytes = 0;
    for (const spec of matrices) {
      bytes += bytesIn(spec, (await source.matrix(spec)).quantized?.format ?? format);
    }
    name = 'as they are stored';
  }
  if (bytes <= maximumBytes) return;
  const fitting = formats
    .filter((other) => bytesAs(other) <= maximumBytes)
    .map((other) => `${other} (${gigabytes(bytesAs(other))})`);
  const millions = Math.floor(maximumBytes / weightBytes('int4', [1, 1]) / 1e6);
  const advice =
    fitting.length > 0
      ? `load them as ${fitting.join(', ')}`
      : `use another backend, or a model of at most ${millions} million weights as int4`;
  throw new BackendError(
    `the weights need ${gigabytes(bytes)} ${name}, but the backend '${tf.getBackend()}' can hold at ` +
      `most ${gigabytes(maximumBytes)}: ${advice}`,
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** Quantised values that already have the requested format are kept. */
function packMatrix(
  matrix: StoredMatrix,
  { format = 'f32', groupSize = 64, keepQuantized = false, wholeGroups = false }: ParameterOptions,
): Promise<PackedWeight> {
  const packer = weightPacker();
  const { quantized, shape } = matrix;
  const keeps = quantized && (quantized.format === format || keepQuantized);
  if (keeps && packer.packQuantized) return packer.packQuantized(quantized);
  const isQuantized = format === 'int8' || format === 'int4';
  const leaves = wholeGroups && isQuantized && shape[1] % groupSize !== 0;
  const kept = matrix.dtype === 'BF16' && packer.formats.includes('bf16') ? 'bf16' : 'f32';
  if (format === 'bf16' && matrix.needsF32) return packer.pack(matrix, 'f32', groupSize);
  return packer.pack(matrix, leaves ? kept : format, groupSize);
}

/** Frees loaded parameters that belong to no model. */
export function disposeParameters(parameters: ReadonlyMap<string, Parameter>): void {
  for (const parameter of parameters.values()) {
    if (parameter instanceof tf.Tensor) parameter.dispose();
    else disposeWeight(parameter);
  }
}

/** tfjs chooses the name, since names from the file would clash when two models are loaded. */
function asVariable(tensor: tf.Tensor): tf.Variable {
  const variable = tf.variable(tensor);
  tensor.dispose();
  return variable;
}

/**
 * Draws initial parameters. Each has its own generator, seeded with `${seed}:${name}`, so that order and
 * number of parameters do not matter.
 */
export function initParameters(
  specs: readonly ParameterSpec[],
  seed: string | number,
  options: ParameterOptions = {},
): Promise<Map<string, Parameter>> {
  return makeParameters(specs, options, randomValues(seed));
}

/** Where initParameters takes its numbers from. */
export function randomValues(seed: string | number): ParameterValues {
  const draw = (spec: ParameterSpec): Float32Array => {
    const values = new Float32Array(sizeOf(spec));
    // Alea is the fastest of seedrandom's generators; the default one takes 30 times longer.
    spec.init(values, seedrandom.alea(`${seed}:${spec.name}`));
    return values;
  };
  return {
    values: async (spec) => draw(spec),
    matrix: async (spec) => inMemory(draw(spec), spec),
  };
}

/**
 * Random parameters for a single layer.
 *
 * @param seed the same seed gives the same values. Default: 'rene'
 * @example new Mamba2Mixer(config, await randomParameters(Mamba2Mixer.parameters(config)))
 */
export async function randomParameters(
  specs: readonly ParameterSpec[],
  { seed = 'rene', ...options }: ParameterOptions & { seed?: string | number } = {},
): Promise<Parameters> {
  return new Parameters(await initParameters(specs, seed, options));
}

function sizeOf({ shape }: ParameterSpec): number {
  return shape.reduce((size, axis) => size * axis, 1);
}

function inMemory(
  values: Float32Array,
  { shape: [rows = 0, columns = 0] }: ParameterSpec,
): StoredMatrix {
  const rowBytes = columns * Float32Array.BYTES_PER_ELEMENT;
  return {
    shape: [rows, columns],
    dtype: 'F32',
    readRows: (first, count) =>
      new Uint8Array(values.buffer, values.byteOffset + first * rowBytes, count * rowBytes),
  };
}
