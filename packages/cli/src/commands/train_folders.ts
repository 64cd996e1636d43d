// Checks the folders that `rene train` writes before anything is read, trained or written.
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import {
  EMBEDDED_MODEL,
  fileError,
  folderExists,
  isSameFolder,
  systemCode,
  withRunFolder,
} from '@rene-js/rene/internal';
import { checkOutFolder } from './out_folder.js';
import { UsageError } from './report_error.js';

/** Folders that must not be overwritten. */
export interface TrainFolders {
  out: string;
  merge?: string | undefined;
  /** The model to fine-tune. A local folder stays unchanged. */
  model?: string | undefined;
  /** Replace an existing model in `merge`. */
  force: boolean;
}

/**
 * Checks that the folders can be written, that no other process trains in them, and that no model would be
 * lost.
 *
 * @throws UsageError, FileError, TrainingError
 */
export async function checkFolders({ out, merge, model, force }: TrainFolders): Promise<void> {
  await checkOutFolder(model ?? EMBEDDED_MODEL, out, true);
  await checkWritable(out);
  if (model !== undefined && (await isSameFolder(out, model))) {
    throw new UsageError(`--out: ${out} is the folder of --model: choose another folder`);
  }
  if (merge !== undefined) {
    for (const other of model === undefined ? [out] : [model, out]) {
      if (resolve(merge) !== resolve(other) && !(await isSameFolder(merge, other))) continue;
      throw new UsageError(`--merge: ${merge} is the folder of --model or --out: choose another`);
    }
    await checkOutFolder(model ?? EMBEDDED_MODEL, merge, force);
    await checkWritable(merge);
  }
  // Takes the lock for a moment, so that another run is reported before the text is encoded.
  if (await folderExists(out)) await withRunFolder(out, async () => {});
}

/** @throws FileError if a folder can be neither created nor written */
async function checkWritable(dir: string): Promise<void> {
  for (let path = resolve(dir); ; path = dirname(path)) {
    try {
      if (!(await stat(path)).isDirectory()) {
        const code = path === resolve(dir) ? 'EEXIST' : 'ENOTDIR';
        throw Object.assign(new Error(code), { code, syscall: 'mkdir' });
      }
      return await access(path, constants.W_OK);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT' || path === dirname(path)) {
        throw fileError(dir, 'written', error);
      }
    }
  }
}
