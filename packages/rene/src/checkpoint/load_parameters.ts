// From a checkpoint to a model's parameters: everything is checked by name and shape, then loaded.
import {
  disposeWeight,
  type Parameter,
  type ParameterSpec,
  readAsF32,
  rowsWeight,
  type StoredMatrix,
  type WeightFormat,
  weightPacker,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { CheckpointError } from '../errors.js';
import type { Checkpoint } from './checkpoint.js';
import { sizeOf } from './tensor_file.js';

/** How the parameters are held in memory. */
export interface ParameterOptions {
  /** The matrices' format; the current backend must support it. Default 'f32'. */
  format?: WeightFormat;
  /** Columns that share a scale in int8 and int4. Default 64. */
  groupSize?: number;
  /** Makes tf.variable's, in f32, for training. */
  trainable?: boolean;
  /** Called after each parameter. */
  onProgress?: (progress: LoadProgress) => void;
}

export interface LoadProgress {
  /** The parameter that was just loaded. */
  readonly name: string;
  /** Parameters loaded, of how many. */
  readonly loaded: number;
  readonly total: number;
  /** Numbers loaded, of how many. */
  readonly loadedValues: number;
  readonly totalValues: number;
}

/**
 * Loads the parameters of a model. The caller owns them and frees them.
 *
 * @param specs every parameter of the model. A tied model has no `lm_head.weight`; the file's copy
 *   of it, if there is one, is left alone.
 * @throws CheckpointError listing all that is missing, unknown or of another shape, before anything
 *   is loaded. Nothing stays in memory when loading fails.
 */
export async function loadParameters(
  checkpoint: Checkpoint,
  specs: readonly ParameterSpec[],
  options: ParameterOptions = {},
): Promise<Map<string, Parameter>> {
  checkNamesAndShapes(checkpoint, specs);
  return makeParameters(specs, options, {
    matrix: async (spec) => checkpoint.storedMatrix(spec.name),
    values: (spec) => checkpoint.readF32(spec.name),
  });
}

/** Where the numbers of a parameter come from: a file, or a random number generator. */
export interface ParameterValues {
  matrix(spec: ParameterSpec): Promise<StoredMatrix>;
  values(spec: ParameterSpec): Promise<Float32Array>;
}

/** Makes every parameter, one after the other, from wherever its numbers come. */
export async function makeParameters(
  specs: readonly ParameterSpec[],
  options: ParameterOptions,
  source: ParameterValues,
): Promise<Map<string, Parameter>> {
  const { format = 'f32', groupSize = 64, trainable = false, onProgress } = options;
  if (trainable && format !== 'f32') {
    throw new CheckpointError(`a trainable model has f32 weights, found format ${format}`);
  }
  const totalValues = specs.reduce((sum, spec) => sum + sizeOf(spec.shape), 0);
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
        made.set(spec.name, await weightPacker().pack(matrix, format, groupSize));
      }
      loadedValues += sizeOf(spec.shape);
      const { name } = spec;
      onProgress?.({ name, loaded: made.size, total: specs.length, loadedValues, totalValues });
    }
    return made;
  } catch (error) {
    disposeParameters(made);
    throw error;
  }
}

/** Frees parameters that were loaded but belong to no model. */
export function disposeParameters(parameters: ReadonlyMap<string, Parameter>): void {
  for (const parameter of parameters.values()) {
    if (parameter instanceof tf.Tensor) parameter.dispose();
    else disposeWeight(parameter);
  }
}

/** tfjs names it; names from the file would clash when two models are loaded. */
function asVariable(tensor: tf.Tensor): tf.Variable {
  const variable = tf.variable(tensor);
  tensor.dispose();
  return variable;
}

const HEAD = 'lm_head.weight';
const EMBEDDING = 'backbone.embedding.weight';

function checkNamesAndShapes(checkpoint: Checkpoint, specs: readonly ParameterSpec[]): void {
  const expected = new Map(specs.map(({ name, shape }) => [name, shape]));
  // A tied head may be repeated in the file.
  const embedding = expected.get(EMBEDDING);
  if (embedding && !expected.has(HEAD) && checkpoint.has(HEAD)) expected.set(HEAD, embedding);

  const problems: string[] = [];
  for (const [name, shape] of expected) {
    if (!checkpoint.has(name)) {
      problems.push(`${name}: expected shape [${shape.join(', ')}], found no such tensor`);
      continue;
    }
    const found = checkpoint.info(name).shape;
    if (found.length === shape.length && found.every((size, i) => size === shape[i])) continue;
    problems.push(`${name}: expected shape [${shape.join(', ')}], found [${found.join(', ')}]`);
  }
  for (const name of checkpoint.names) {
    if (!expected.has(name)) problems.push(`${name}: unknown to a model of this configuration`);
  }
  if (problems.length === 0) return;
  throw new CheckpointError(
    `${checkpoint.path}: its tensors do not fit its config.json:\n${shortList(problems)}`,
    problems,
  );
}

/** The first lines of a list that may be very long. */
function shortList(lines: readonly string[]): string {
  const shown = lines.slice(0, 20).map((line) => `  ${line}`);
  if (lines.length > shown.length) shown.push(`  and ${lines.length - shown.length} more`);
  return shown.join('\n');
}
