// Checks the folder that a command writes a model to, so that no file of the user's is overwritten or
// hidden.
import { readdir, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import {
  EMBEDDED_MODEL,
  fileError,
  folderExists,
  isSameFolder,
  TOKENIZER_FILES,
} from '@rene-js/rene/internal';
import { UsageError } from './report_error.js';

/** Files of a model. The output folder must not contain any of them. */
const MODEL_FILE =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map)\.json$|\.(safetensors|bin|gguf|pt|pth)$|\.index\.json$/;

/**
 * Checks the output folder before anything is downloaded or loaded.
 *
 * @param model the model as the user named it
 * @throws UsageError if the folder contains a model and `force` is not set, or if the folder would hide a
 *   model of the same name
 * @throws FileError if the folder cannot be read
 */
export async function checkOutFolder(model: string, out: string, force: boolean): Promise<void> {
  const hidden = [EMBEDDED_MODEL, ...((await folderExists(model)) ? [] : [model])];
  for (const name of hidden) {
    if ((await location(name)) !== (await location(out))) continue;
    const what = name === EMBEDDED_MODEL ? 'the model that is included' : 'the hub model';
    throw new UsageError(
      `${out}: a folder of this name would hide ${what}, '${name}': choose another name`,
    );
  }
  if (!(await isThere(out))) return;
  if (!(await folderExists(out))) throw new UsageError(`${out}: expected a folder, found a file`);
  const names = await readdir(out).catch((error: unknown) => {
    throw fileError(out, 'read', error);
  });
  const found = names.filter((name) => MODEL_FILE.test(name)).sort();
  if (found.length === 0 || force) return;
  const shown = [...found.slice(0, 3), ...(found.length > 3 ? ['...'] : [])].join(', ');
  throw new UsageError(
    `${out}: it already contains a model (${shown}): choose another folder, or replace that model with --force`,
  );
}

/**
 * Checks that the input and output folders differ, even if one is a link to the other.
 *
 * @throws UsageError
 */
export async function checkNotSame(dir: string, out: string): Promise<void> {
  if (!(await isSameFolder(dir, out))) return;
  throw new UsageError(
    `${out}: it is the folder of the input model, which would be lost: choose another folder`,
  );
}

/**
 * Removes the replaced model's files about its use (such as its tokenizer) that the new model does not
 * have.
 */
export async function removeStale(out: string, written: readonly string[]): Promise<void> {
  for (const name of ['generation_config.json', ...TOKENIZER_FILES]) {
    if (!written.includes(name)) await rm(join(out, name), { force: true });
  }
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** The real path, also of a file that does not exist yet. */
async function location(path: string): Promise<string> {
  const full = resolve(path);
  const parent = dirname(full);
  if (parent === full) return full;
  const inner = await realpath(parent).catch(() => location(parent));
  const found = join(inner, basename(full));
  // Their file systems usually ignore case.
  return ['darwin', 'win32'].includes(process.platform) ? found.toLowerCase() : found;
}
