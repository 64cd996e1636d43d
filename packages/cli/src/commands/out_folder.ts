// The folder that a verb writes a model into: nothing of the user's is overwritten or hidden by it.
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

/** Files of a model, which a folder to write into must not hold already. */
const MODEL_FILE =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map)\.json$|\.(safetensors|bin|gguf|pt|pth)$|\.index\.json$/;

/**
 * Checks the folder to write into before anything is downloaded or loaded.
 *
 * @param model the model as the user named it
 * @throws UsageError where a model is there already and `force` is not given, and always where the folder
 *   would hide a model of the same name; FileError where it cannot be read
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
    `${out}: it holds a model already (${shown}): choose another folder, or replace that model with --force`,
  );
}

/**
 * The folder read from and the one written to are not the same, whatever they are called.
 *
 * @throws UsageError
 */
export async function checkNotSame(dir: string, out: string): Promise<void> {
  if (!(await isSameFolder(dir, out))) return;
  throw new UsageError(
    `${out}: this is the folder of the model itself, which would be lost: choose another one`,
  );
}

/** After another model was replaced: files of its that say how a model is used, and that the new one lacks. */
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

/** A path without links and other spellings, also of what is not there. */
async function location(path: string): Promise<string> {
  const full = resolve(path);
  const parent = dirname(full);
  if (parent === full) return full;
  const inner = await realpath(parent).catch(() => location(parent));
  const found = join(inner, basename(full));
  // These file systems do not tell capitals from small letters.
  return ['darwin', 'win32'].includes(process.platform) ? found.toLowerCase() : found;
}
