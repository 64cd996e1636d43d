// A safetensors file of reference numbers, as tensors.

import {
  openFile,
  openSafetensors,
  readF32,
  readI32,
  type TensorFile,
} from '@rene-js/rene/internal';
import * as tf from '@tensorflow/tfjs-core';

export class ReferenceFile {
  private constructor(private readonly file: TensorFile) {}

  static async open(path: string): Promise<ReferenceFile> {
    return new ReferenceFile(await openSafetensors(await openFile(path)));
  }

  get names(): string[] {
    return [...this.file.tensors.keys()];
  }

  /** The tensor of that name. The caller disposes it. @throws CheckpointError if it is missing */
  async tensor(name: string): Promise<tf.Tensor> {
    const info = this.file.tensors.get(name);
    const integers = info?.dtype.startsWith('I');
    const values = integers ? await readI32(this.file, name) : await readF32(this.file, name);
    return tf.tensor(values, [...(info?.shape ?? [])], integers ? 'int32' : 'float32');
  }

  /** All tensors whose names start with `prefix`, keyed by the rest of the name. */
  async tensors(prefix: string): Promise<Record<string, tf.Tensor>> {
    const tensors: Record<string, tf.Tensor> = {};
    for (const name of this.names) {
      if (name.startsWith(prefix)) tensors[name.slice(prefix.length)] = await this.tensor(name);
    }
    return tensors;
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

/** tf.tidy for async functions: disposes every tensor that `body` created and did not keep. */
export async function tidily<T>(body: () => Promise<T>): Promise<T> {
  tf.engine().startScope();
  try {
    return await body();
  } finally {
    tf.engine().endScope();
  }
}
