// Loads a model's parameters from a checkpoint after checking names and shapes.
import type { Parameter, ParameterOptions, ParameterSpec } from '@rene-js/layers';
import { makeParameters } from '@rene-js/layers';
import { CheckpointError } from '../errors.js';
import type { Checkpoint } from './checkpoint.js';

/**
 * Loads the parameters of a model. The caller frees them.
 *
 * @param specs every parameter of the model. A tied model has no `lm_head.weight`; a copy in the file is
 *   ignored.
 * @throws CheckpointError listing all missing, unknown and wrongly shaped tensors, before anything is
 *   loaded. Nothing stays in memory if loading fails.
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

/**
 * Buffers of training and profiling code that can be ignored: rotary embeddings (refused if a model uses
 * them), masks, counters.
 */
const HARMLESS_BUFFER = new RegExp(
  '(^|\\.)(inv_freq|cos_cached|sin_cached|position_ids|masked_bias|causal_mask|num_batches_tracked|' +
    'n_averaged|_extra_state|_float_tensor|total_ops|total_params)$',
);

const HEAD = 'lm_head.weight';
const EMBEDDING = 'backbone.embedding.weight';

/** @throws CheckpointError listing all missing, unknown and wrongly shaped tensors */
export function checkNamesAndShapes(checkpoint: Checkpoint, specs: readonly ParameterSpec[]): void {
  const expected = new Map(specs.map(({ name, shape }) => [name, shape]));
  // The file may contain a copy of a tied head.
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
