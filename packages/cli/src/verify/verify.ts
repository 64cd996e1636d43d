// Checks everything in a folder of reference numbers, on the backend of the model options.
import { readdir } from 'node:fs/promises';
import { useBackend } from '@rene-js/layers';
import { CheckpointError, type ModelOptions } from '@rene-js/rene';
import { folderExists } from '@rene-js/rene/internal';
import type { Check, VerifyOptions } from './check.js';
import { verifyFolder } from './verify_folder.js';

/**
 * Checks a folder and its subfolders: models with golden.safetensors, ops.json with ops.safetensors,
 * sampling.json.
 *
 * @throws CheckpointError if a folder contains none of them
 */
export async function* verify(
  folder: string,
  options: VerifyOptions,
  modelOptions: ModelOptions,
): AsyncGenerator<Check> {
  if (!(await folderExists(folder))) throw new CheckpointError(`${folder}: no such folder`);
  // Selects the requested backend for ops, even if no model was loaded before.
  await useBackend(modelOptions.backend);
  let found = 0;
  for (const each of await foldersWithin(folder)) {
    for await (const check of verifyFolder(each, options, modelOptions)) {
      found++;
      yield check;
    }
  }
  if (found === 0) {
    throw new CheckpointError(
      `${folder}: nothing to verify; expected config.json, model.safetensors and ` +
        'golden.safetensors, or ops.json and ops.safetensors, or sampling.json, here or in folders within',
    );
  }
}

/** A folder and all within it, by name. */
export async function foldersWithin(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const within = entries
    .filter((entry) => entry.isDirectory())
    .sort((a, b) => a.name.localeCompare(b.name))
    .map(({ name }) => foldersWithin(`${folder}/${name}`));
  return [folder, ...(await Promise.all(within)).flat()];
}
