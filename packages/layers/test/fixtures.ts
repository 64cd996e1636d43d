// Reads the reference values (goldens/) for the tests of this package.
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';

const goldens = new URL('../../../../goldens/', import.meta.url);

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, goldens), 'utf8'));
}

interface HeaderEntry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/**
 * The F32 and I32 tensors of a safetensors file whose names start with `prefix`, keyed by the rest of the
 * name.
 */
export function readTensors(path: string, prefix = ''): Record<string, tf.Tensor> {
  const { buffer, byteOffset, byteLength } = readFileSync(new URL(path, goldens));
  const view = new DataView(buffer, byteOffset, byteLength);
  const headerLength = Number(view.getBigUint64(0, true));
  const text = new TextDecoder().decode(new Uint8Array(buffer, byteOffset + 8, headerLength));
  const header: Record<string, HeaderEntry> = JSON.parse(text);
  const tensors: Record<string, tf.Tensor> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__' || !name.startsWith(prefix)) continue;
    const [start, end] = entry.data_offsets.map((offset) => byteOffset + 8 + headerLength + offset);
    const bytes = buffer.slice(start ?? 0, end);
    const values = entry.dtype === 'I32' ? new Int32Array(bytes) : new Float32Array(bytes);
    tensors[name.slice(prefix.length)] = tf.tensor(
      values,
      entry.shape,
      entry.dtype === 'I32' ? 'int32' : 'float32',
    );
  }
  return tensors;
}
