// Loads a model's parameters from a checkpoint. Names and shapes are checked first.
import type { Parameter, ParameterOptions } from '@rene-js/layers';
import type { CheckpointTensors, LayerParameter } from '../architectures/blueprint.js';
import { makeModelParameters } from '../architectures/derived_parameters.js';
import { CheckpointError } from '../errors.js';
import type { Checkpoint } from './checkpoint.js';

/**
 * Loads the parameters of a model. The caller frees them.
 *
 * @param blueprint of the model. A tied model has no `lm_head.weight`; a copy of it in the file is ignored.
 * @throws CheckpointError listing all missing, unknown and wrongly shaped tensors, before anything is loaded.
 *   If loading fails later, everything is freed.
 */
export async function loadParameters(
  checkpoint: Checkpoint,
  blueprint: CheckpointTensors,
  options: ParameterOptions = {},
): Promise<Map<string, Parameter>> {
  checkNamesAndShapes(checkpoint, blueprint);
  const loaded = await makeModelParameters(inFileOrder(checkpoint, blueprint), options, {
    matrix: async (spec) => checkpoint.storedMatrix(spec.name),
    values: (spec) => checkpoint.readF32(spec.name),
  });
  const order = [...blueprint.tensors, ...(blueprint.parameters ?? [])].map(({ name }) => name);
  const places = new Map(order.map((name, i) => [name, i]));
  return new Map([...loaded].sort(([a], [b]) => (places.get(a) ?? 0) - (places.get(b) ?? 0)));
}

/** The blueprint with its tensors in the order of the file, so that a download is read as it arrives. */
function inFileOrder(checkpoint: Checkpoint, blueprint: CheckpointTensors): CheckpointTensors {
  const places = new Map(checkpoint.names.map((name, i) => [name, i]));
  const place = (name: string) => places.get(name) ?? places.size;
  const lastOf = ({ slices }: LayerParameter) =>
    Math.max(...slices.map(({ tensor }) => place(tensor)));
  const { tensors, parameters } = blueprint;
  return {
    ...blueprint,
    tensors: [...tensors].sort((a, b) => place(a.name) - place(b.name)),
    ...(parameters && {
      parameters: [...parameters].sort((a, b) => lastOf(a) - lastOf(b)),
    }),
  };
}

/**
 * Buffers of training and profiling code that can be ignored: rotary embeddings (refused if a model uses
 * them), masks, counters.
 */
const HARMLESS_BUFFER = new RegExp(
  '(^|\\.)(inv_freq|cos_cached|sin_cached|position_ids|masked_bias|causal_mask|num_batches_tracked|' +
    'n_averaged|_extra_state|_float_tensor|total_ops|total_params)$',
);

const HEAD = 'lm_head.weight';

/** @throws CheckpointError listing all missing, unknown and wrongly shaped tensors */
export function checkNamesAndShapes(checkpoint: Checkpoint, blueprint: CheckpointTensors): void {
  const expected = new Map(blueprint.tensors.map(({ name, shape }) => [name, shape]));
  // A file may repeat a tied head.
  const embedding = expected.get(blueprint.embedding);
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
    if (expected.has(name) || HARMLESS_BUFFER.test(name)) continue;
    problems.push(`${name}: unknown to a model of this configuration`);
  }
  if (problems.length === 0) return;
  throw new CheckpointError(
    `${checkpoint.path}: its tensors do not fit its config.json:\n${shortList(problems)}`,
    problems,
  );
}

/** The first lines of a list. */
function shortList(lines: readonly string[]): string {
  const shown = lines.slice(0, 20).map((line) => `  ${line}`);
  if (lines.length > shown.length) shown.push(`  and ${lines.length - shown.length} more`);
  return shown.join('\n');
}
