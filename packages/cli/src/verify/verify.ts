// Checks everything in a folder of reference numbers on the current backend.
import { readdir } from 'node:fs/promises';
import { useBackend } from '@rene-js/layers';
import { CheckpointError, type ModelOptions } from '@rene-js/rene';
import { fileExists, folderExists } from '@rene-js/rene/internal';
import type { Check, VerifyOptions } from './check.js';
import { verifyModel } from './verify_model.js';
import { verifyOps } from './verify_ops.js';
import { verifySampling } from './verify_sampling.js';

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
  for await (const check of walk(folder, options, modelOptions)) {
    found++;
    yield check;
  }
  if (found === 0) {
    throw new CheckpointError(
      `${folder}: nothing to verify; expected config.json, model.safetensors and ` +
        'golden.safetensors, or ops.json and ops.safetensors, or sampling.json, here or in folders within',
    );
  }
}

async function* walk(
  folder: string,
  options: VerifyOptions,
  modelOptions: ModelOptions,
): AsyncGenerator<Check> {
  if (await fileExists(`${folder}/golden.safetensors`)) {
    yield* verifyModel(folder, options, modelOptions);
  }
  if (await fileExists(`${folder}/ops.json`)) yield* verifyOps(folder, options);
  if (await fileExists(`${folder}/sampling.json`)) yield* verifySampling(folder, options);
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => a.name.localeCompare(b.name))) {
    if (entry.isDirectory()) yield* walk(`${folder}/${entry.name}`, options, modelOptions);
  }
}
