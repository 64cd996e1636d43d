// Checks one folder of reference numbers on the current backend. Runs in pages as well, with files over HTTP.
import type { ModelOptions } from '@rene-js/rene';
import { fileExists } from '@rene-js/rene/internal';
import type { Check, VerifyOptions } from './check.js';
import { verifyModel } from './verify_model.js';
import { verifyOps } from './verify_ops.js';
import { verifySampling } from './verify_sampling.js';

/**
 * Checks a folder without its subfolders: a model with golden.safetensors, ops.json with ops.safetensors,
 * sampling.json. Yields nothing if it has none of them.
 */
export async function* verifyFolder(
  folder: string,
  options: VerifyOptions,
  modelOptions: ModelOptions,
): AsyncGenerator<Check> {
  if (await fileExists(`${folder}/golden.safetensors`)) {
    yield* verifyModel(folder, options, modelOptions);
  }
  if (await fileExists(`${folder}/ops.json`)) yield* verifyOps(folder, options);
  if (await fileExists(`${folder}/sampling.json`)) yield* verifySampling(folder, options);
}
