// The folder of a training run: locked by one process, and never another model's folder.
import { readdir, readFile } from 'node:fs/promises';
import { withLock } from '../checkpoint/lock.js';
import { makeFolder } from '../checkpoint/make_folder.js';
import { fileExists, writeFileAtomically } from '../checkpoint/node_files.js';
import { fileError } from '../file_errors.js';
import { TrainingError } from './training_error.js';

/** Milliseconds after which an untouched lock of another machine is stale. */
const STALE_MS = 10 * 60_000;

/**
 * Runs a function while this process has the lock of the folder, which is created if necessary. A stale
 * lock is taken over.
 *
 * @throws TrainingError naming the process that holds the lock, FileError
 */
export async function withRunFolder<T>(dir: string, run: () => Promise<T>): Promise<T> {
  const path = `${dir}/training.lock`;
  const onWait = (pid: number | undefined) => {
    const owner = pid === undefined ? 'another process' : `process ${pid}`;
    throw new TrainingError(
      `${dir}: ${owner} is training there. Wait until it ends, or choose another folder` +
        (pid === undefined ? ` (if it has ended, remove ${path})` : ''),
    );
  };
  try {
    makeFolder(dir);
    return await withLock(path, { onWait, staleMs: STALE_MS }, run);
  } catch (error) {
    throw fileError(dir, 'written', error);
  }
}

/** Files that identify a model's folder. */
const WEIGHTS = /^(adapter_)?(pytorch_)?model.*\.(safetensors|bin)$/;

/**
 * Refuses a folder without a run that contains a model, or files that this run would overwrite, such as
 * another tokenizer.
 *
 * @param files of the new run, by name
 * @throws TrainingError
 */
export async function refuseForeignFolder(
  dir: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const weights = (await readdir(dir)).find((name) => WEIGHTS.test(name));
  if (weights !== undefined) {
    throw new TrainingError(
      `${dir} contains a model (${weights}) but no training run: choose another folder`,
    );
  }
  for (const [name, bytes] of files) {
    const path = `${dir}/${name}`;
    if (!(await fileExists(path)) || (await readFile(path)).equals(bytes)) continue;
    throw new TrainingError(
      `${path} differs from this run's file, and the folder contains no run to resume: ` +
        'remove the file, or choose another folder',
    );
  }
}

/** Writes the files that do not exist yet. @throws FileError */
export async function writeMissing(
  dir: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  for (const [name, bytes] of files) {
    const path = `${dir}/${name}`;
    if (!(await fileExists(path))) await writeFileAtomically(path, (put) => put(bytes));
  }
}
