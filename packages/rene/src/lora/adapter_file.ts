// Matches the tensors of an adapter's file with the adapter's effects on a model.

import { readF32, type TensorFile } from '../checkpoint/tensor_file.js';
import { withoutWrappers } from '../checkpoint/wrapped_names.js';
import { CheckpointError } from '../errors.js';
import type { AdapterConfig } from './adapter_config.js';
import type { AdapterPlan, Correction } from './target_modules.js';

/** PEFT's prefix of parameter names. */
export const PEFT_PREFIX = 'base_model.model.';

/** The factors of an adapted matrix W + scale * B A, row-major. */
export interface Factors {
  /** (rank, columns). */
  readonly a: Float32Array;
  /** (rows, rank). */
  readonly b: Float32Array;
  /** DoRA's magnitudes: of the rows of a linear layer's matrix, of the columns of an embedding's. */
  readonly magnitude: Float32Array | undefined;
}

/** An adapter's open file, checked against a model. Close it after reading its tensors. */
export interface Adapter {
  readonly config: AdapterConfig;
  /** By the name of the adapted parameter. */
  readonly corrections: ReadonlyMap<string, Correction>;
  /** Parameters that the adapter replaces. */
  readonly replaced: ReadonlySet<string>;
  /** By the name of the bias: the bias of lora_B, to be scaled and added. */
  readonly addedBiases: ReadonlyMap<string, Correction>;
  /** A tensor of the file, row-major: one of correctionTensors', or a replaced parameter. */
  read(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Names and shapes of a correction's tensors in a file, without PEFT's prefix. */
export function correctionTensors(
  { module, kind, shape: [rows, columns], rank }: Correction,
  { useDora, loraBias }: Pick<AdapterConfig, 'useDora' | 'loraBias'>,
): CorrectionTensors {
  const name = (part: string) => `${module}.${part}`;
  const magnitude = (size: number) =>
    useDora && { magnitude: { name: name('lora_magnitude_vector'), shape: [size] } };
  if (kind === 'embedding') {
    return {
      a: { name: name('lora_embedding_A'), shape: [rank, rows] },
      b: { name: name('lora_embedding_B'), shape: [columns, rank] },
      ...magnitude(columns),
    };
  }
  return {
    a: { name: name('lora_A.weight'), shape: [rank, columns] },
    b: { name: name('lora_B.weight'), shape: [rows, rank] },
    ...magnitude(rows),
    ...(loraBias && { bias: { name: name('lora_B.bias'), shape: [rows] } }),
  };
}

export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

interface CorrectionTensors {
  readonly a: TensorSpec;
  readonly b: TensorSpec;
  readonly magnitude?: TensorSpec;
  readonly bias?: TensorSpec;
}

/**
 * Matches an open file with a plan.
 *
 * @throws CheckpointError listing every missing, unknown or wrongly shaped tensor
 */
export function matchAdapter(file: TensorFile, config: AdapterConfig, plan: AdapterPlan): Adapter {
  const found = new Map<string, string>();
  for (const name of file.tensors.keys()) found.set(plainName(name), name);
  const problems: string[] = [];
  const isOfShape = ({ name, shape }: TensorSpec): boolean => {
    const inFile = found.get(name);
    const actual = inFile === undefined ? undefined : file.tensors.get(inFile)?.shape;
    // DoRA's magnitudes formerly had a second axis of size 1.
    const same = withoutOnes(actual)?.join() === withoutOnes(shape)?.join();
    if (!same) {
      problems.push(
        `${name}: expected shape [${shape.join(', ')}], found ` +
          `${actual ? `[${actual.join(', ')}]` : 'no such tensor'}`,
      );
    }
    return same;
  };
  const known = new Set<string>();
  const expect = (spec: TensorSpec) => {
    known.add(spec.name);
    isOfShape(spec);
  };
  const addedBiases = new Map<string, Correction>();
  for (const correction of plan.corrections) {
    const tensors = correctionTensors(correction, config);
    for (const spec of Object.values(tensors)) expect(spec);
    if (!tensors.bias) continue;
    const bias = `${correction.module}.bias`;
    if (plan.parameters.has(bias)) addedBiases.set(bias, correction);
    else
      problems.push(
        `${tensors.bias.name}: lora_bias needs a bias, but ${correction.module} has none`,
      );
  }
  for (const name of plan.saved) {
    expect({ name, shape: plan.parameters.get(name)?.shape ?? [] });
  }
  const replaced = new Set(plan.saved);
  for (const name of found.keys()) {
    if (known.has(name)) continue;
    const spec = plan.parameters.get(name);
    if (!spec) problems.push(`${name}: unknown to this model`);
    else if (isOfShape(spec)) replaced.add(name);
  }
  if (problems.length > 0) {
    throw new CheckpointError(
      `${file.name}: its tensors do not fit its adapter_config.json and this model:\n` +
        problems
          .map((problem) => `  ${problem}`)
          .slice(0, 20)
          .join('\n'),
      problems,
    );
  }
  return {
    config,
    corrections: new Map(plan.corrections.map((each) => [`${each.module}.weight`, each])),
    replaced,
    addedBiases,
    read: (name) => readF32(file, found.get(name) ?? name),
    close: () => file.close(),
  };
}

/** Reads the factors of a correction. */
export async function readFactors(adapter: Adapter, correction: Correction): Promise<Factors> {
  const { a, b, magnitude } = correctionTensors(correction, adapter.config);
  return {
    ...inRows(correction, await adapter.read(a.name), await adapter.read(b.name)),
    magnitude: magnitude && (await adapter.read(magnitude.name)),
  };
}

/** A tensor's name without wrappers, as in the model and correctionTensors. */
function plainName(name: string): string {
  return withoutWrappers(name.startsWith(PEFT_PREFIX) ? name.slice(PEFT_PREFIX.length) : name)
    .replace(/\.lora_magnitude_vector\.weight$/, '.lora_magnitude_vector')
    .replace(/\.base_layer\.(weight|bias)$/, '.$1');
}

function withoutOnes(shape: readonly number[] | undefined): readonly number[] | undefined {
  const [first, ...others] = shape ?? [];
  return first === 1 && others.length === 1 ? others : shape;
}

/** An embedding's correction is (B A) transposed: A' B' with the factors transposed. */
function inRows({ kind, shape, rank }: Correction, a: Float32Array, b: Float32Array) {
  if (kind === 'linear') return { a, b };
  const [rows, columns] = shape;
  return { a: transposed(b, columns, rank), b: transposed(a, rank, rows) };
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result[j * rows + i] = values[i * columns + j] ?? 0;
  }
  return result;
}
