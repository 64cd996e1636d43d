// The folders that `rene train` writes: checked before anything is read, trained or written.
import { constants } from 'node:fs';
import { access, readdir, realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileError, folderExists, systemCode, withRunFolder } from '@rene-js/rene/internal';
import { UsageError } from './report_error.js';

/** What must not be overwritten, and by what. */
export interface TrainFolders {
  out: string;
  merge?: string | undefined;
  /** The model to fine-tune; if it is a folder, it stays as it is. */
  model?: string | undefined;
  /** Replace a model in `merge`. */
  force: boolean;
}

/**
 * Refuses folders that cannot be written, in which another process is training, or whose model would be
 * lost.
 *
 * @throws UsageError, FileError, TrainingError
 */
export async function checkFolders({ out, merge, model, force }: TrainFolders): Promise<void> {
  await checkWritable(out);
  if (await isSame(out, model)) {
    throw new UsageError(`--out: ${out} holds the --model itself: choose another folder`);
  }
  if (merge !== undefined) {
    await checkWritable(merge);
    if ((await isSame(merge, model)) || (await isSame(merge, out))) {
      throw new UsageError(`--merge: ${merge} is the folder of --model or --out: choose another`);
    }
    const names = (await folderExists(merge)) ? await readdir(merge) : [];
    const weights = names.find((name) => /\.(safetensors|bin|npz)$/.test(name));
    if (weights !== undefined && !force) {
      throw new UsageError(
        `--merge: ${merge} holds a model already (${weights}): choose another folder, or give --force`,
      );
    }
  }
  // Takes the lock for a moment: another run is told of at once, and not after the text is encoded.
  if (await folderExists(out)) await withRunFolder(out, async () => {});
}

/** @throws FileError when a folder can be neither written nor made */
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

async function isSame(dir: string, other: string | undefined): Promise<boolean> {
  if (other === undefined) return false;
  const [a, b] = await Promise.all([dir, other].map((path) => realpath(path).catch(() => path)));
  return a === b;
}
