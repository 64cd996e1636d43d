// Reads and writes the files of a reference folder as plain arrays.
import {
  openFile,
  openSafetensors,
  readF32,
  readI32,
  readJsonFile,
  stringifyJson,
  writeFileAtomically,
  writeSafetensors,
} from '@rene-js/rene/internal';
import type { Numbers } from './numbers.js';

/** Values with a shape, to be written to a file. */
export interface Block {
  shape: number[];
  values: Numbers;
  dtype?: 'F32' | 'I32';
}

/** Every tensor of a safetensors file. */
export async function readTensors(path: string): Promise<Map<string, Required<Block>>> {
  const file = await openSafetensors(await openFile(path));
  try {
    const blocks = new Map<string, Required<Block>>();
    for (const [name, { dtype, shape }] of file.tensors) {
      const integers = dtype === 'I32';
      const values = integers ? await readI32(file, name) : await readF32(file, name);
      blocks.set(name, { shape: [...shape], values, dtype: integers ? 'I32' : 'F32' });
    }
    return blocks;
  } finally {
    await file.close();
  }
}

export async function writeTensors(
  path: string,
  blocks: ReadonlyMap<string, Block>,
): Promise<void> {
  const tensors = [...blocks].map(([name, { shape, values, dtype = 'F32' }]) => ({
    name,
    shape,
    dtype,
    bytes: () => {
      const array = dtype === 'I32' ? Int32Array.from(values) : Float32Array.from(values);
      return new Uint8Array(array.buffer);
    },
  }));
  await writeFileAtomically(path, (put) => writeSafetensors(tensors, {}, put));
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomically(path, (put) => put(new TextEncoder().encode(stringifyJson(value))));
}

export { readJsonFile as readJson };
