// The state of a training run in one file: weights, optimiser state and progress.
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

/** The progress of a run. Numbers and strings, which JSON preserves exactly. */
export interface Progress {
  /** Number of steps taken. */
  step: number;
  /** Position of the next step's rows: epoch and row. */
  epoch: number;
  row: number;
  /** Number of trained targets. */
  tokens: number;
  /** Seconds spent in steps. */
  seconds: number;
  /** Best held-out loss, in bits per byte; null before the first evaluation. */
  bestBitsPerByte: number | null;
  /** The model in the folder: its step and held-out loss. None before the first evaluation. */
  saved?: { step: number; bitsPerByte: number };
  /** The smoothed loss and its minimum; null before the first step. */
  smoothedLoss: number | null;
  lowestLoss: number | null;
  /** The run's settings. A resumed run must have the same. */
  settings: Record<string, number | string>;
}

const FILE = 'training_state.safetensors';

export function stateFile(dir: string): string {
  return `${dir}/${FILE}`;
}

/** Writes weights, optimiser state and progress. The previous file stays until the new one is complete. */
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

/** The progress of the run in a folder; undefined if there is none. */
export async function readProgress(dir: string): Promise<Progress | undefined> {
  if (!(await fileExists(stateFile(dir)))) return undefined;
  const file = await openSafetensors(await openFile(stateFile(dir)));
  try {
    return progressOf(file);
  } finally {
    await file.close();
  }
}

/** Restores the variables from the tensors with their names. */
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
            `${shape ? `[${shape.join(', ')}]` : 'no such tensor'}; the run belongs to another model`,
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

/** Removes incomplete files of a killed run. Requires the folder's lock. */
export async function removeTemporaryFiles(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (/\.\d+\.[0-9a-z]+\.tmp$/.test(name)) await rm(`${dir}/${name}`, { force: true });
  }
}

function progressOf(file: TensorFile): Progress {
  const text = file.metadata.get('progress');
  const progress: unknown = text === undefined ? undefined : JSON.parse(text);
  if (isProgress(progress)) return progress;
  throw new CheckpointError(
    `${file.name}: its metadata 'progress' is missing or damaged; expected a training run`,
  );
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
