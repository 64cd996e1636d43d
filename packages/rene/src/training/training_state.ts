// A training run on disk: weights, optimiser state and progress in one file, replaced as a whole.
import { readdir, rm } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import { fileExists, openFile, writeFileAtomically } from '../checkpoint/node_files.js';
import {
  openSafetensors,
  type TensorToWrite,
  writeSafetensors,
} from '../checkpoint/safetensors.js';
import { readF32, type TensorFile } from '../checkpoint/tensor_file.js';
import { CheckpointError } from '../errors.js';

/** Where a run stands. Numbers and strings: it is kept as JSON, which gives them back exactly. */
export interface Progress {
  /** Steps done. */
  step: number;
  /** Where the next step's rows are: in which epoch, from which row. */
  epoch: number;
  row: number;
  /** Targets trained on so far. */
  tokens: number;
  /** Seconds spent on steps so far. */
  seconds: number;
  /** Best held-out loss so far, in bits per byte; null before the first evaluation. */
  bestBitsPerByte: number | null;
  /** The model that the folder holds: its step and held-out loss. None before the first evaluation. */
  saved?: { step: number; bitsPerByte: number };
  /** The smoothed loss and the lowest that it has been; null before the first step. */
  smoothedLoss: number | null;
  lowestLoss: number | null;
  /** What the run was started with: a resumed one must be the same. */
  settings: Record<string, number | string>;
}

const FILE = 'training_state.safetensors';

export function stateFile(dir: string): string {
  return `${dir}/${FILE}`;
}

/** Writes weights, optimiser state and progress; the file of before stays until it is complete. */
export async function saveTrainingState(
  dir: string,
  progress: Progress,
  tensors: ReadonlyMap<string, tf.Tensor>,
): Promise<void> {
  const list = [...tensors].map(
    ([name, tensor]): TensorToWrite => ({
      name,
      dtype: 'F32',
      shape: tensor.shape,
      bytes: async () => {
        const values = await tensor.data();
        return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      },
    }),
  );
  const metadata = { progress: JSON.stringify(progress) };
  await writeFileAtomically(stateFile(dir), (put) => writeSafetensors(list, metadata, put));
}

/** The progress of the run in a folder; undefined where none was begun. */
export async function readProgress(dir: string): Promise<Progress | undefined> {
  if (!(await fileExists(stateFile(dir)))) return undefined;
  const file = await openSafetensors(await openFile(stateFile(dir)));
  try {
    return progressOf(file);
  } finally {
    await file.close();
  }
}

/** Gives the variables the values that were saved under their names. */
export async function restoreTensors(
  dir: string,
  variables: ReadonlyMap<string, tf.Variable>,
): Promise<void> {
  const file = await openSafetensors(await openFile(stateFile(dir)));
  try {
    for (const [name, variable] of variables) {
      const shape = file.tensors.get(name)?.shape;
      if (shape?.join() !== variable.shape.join()) {
        throw new CheckpointError(
          `${file.name}: ${name}: expected shape [${variable.shape.join(', ')}], found ` +
            `${shape ? `[${shape.join(', ')}]` : 'no such tensor'}; this run was of another model`,
        );
      }
      const values = tf.tensor(await readF32(file, name), variable.shape);
      variable.assign(values);
      values.dispose();
    }
  } finally {
    await file.close();
  }
}

/** Removes what a killed run left half-written. Only the holder of the folder's lock may do so. */
export async function removeTemporaryFiles(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (/\.\d+\.[0-9a-z]+\.tmp$/.test(name)) await rm(`${dir}/${name}`, { force: true });
  }
}

function progressOf(file: TensorFile): Progress {
  const text = file.metadata.get('progress');
  const progress: unknown = text === undefined ? undefined : JSON.parse(text);
  if (isProgress(progress)) return progress;
  throw new CheckpointError(`${file.name}: its metadata 'progress' is not that of a training run`);
}

function isProgress(value: unknown): value is Progress {
  if (typeof value !== 'object' || value === null) return false;
  const numbers = ['step', 'epoch', 'row', 'tokens', 'seconds'];
  const entries = new Map<string, unknown>(Object.entries(value));
  return (
    numbers.every((key) => typeof entries.get(key) === 'number') &&
    typeof entries.get('settings') === 'object'
  );
}
