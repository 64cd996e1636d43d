// The folder of a training run: locked while a process writes there, and never another model's.
import { readdir, readFile } from 'node:fs/promises';
import { withLock } from '../checkpoint/lock.js';
import { makeFolder } from '../checkpoint/make_folder.js';
import { fileExists, writeFileAtomically } from '../checkpoint/node_files.js';
import { fileError } from '../file_errors.js';
import { TrainingError } from './training_error.js';

/** A lock of a process on another machine counts as dead when it was not touched for so long. */
const STALE_MS = 10 * 60_000;

/**
 * Runs while this process alone writes to the folder, which is made if it is not there. The lock of a
 * process that has died is taken over.
 *
 * @throws TrainingError that names the process that holds it, FileError
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

/** Names of files that make a folder a model's. */
const WEIGHTS = /^(adapter_)?(pytorch_)?model.*\.(safetensors|bin)$/;

/**
 * Refuses a folder without a run that a new one would spoil: one that holds a model, or other files of
 * the names that this run would write, such as the tokenizer of another.
 *
 * @param files that belong to the model of the new run, by name
 * @throws TrainingError
 */
export async function refuseForeignFolder(
  dir: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const weights = (await readdir(dir)).find((name) => WEIGHTS.test(name));
  if (weights !== undefined) {
    throw new TrainingError(
      `${dir} holds a model (${weights}) and no training run: choose another folder to train in`,
    );
  }
  for (const [name, bytes] of files) {
    const path = `${dir}/${name}`;
    if (!(await fileExists(path)) || (await readFile(path)).equals(bytes)) continue;
    throw new TrainingError(
      `${path} is not the file of this run, and the folder holds no run that it belongs to: ` +
        'remove it, or choose another folder',
    );
  }
}

/** Writes the files that are not there yet. @throws FileError */
export async function writeMissing(
  dir: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  for (const [name, bytes] of files) {
    const path = `${dir}/${name}`;
    if (!(await fileExists(path))) await writeFileAtomically(path, (put) => put(bytes));
  }
}
