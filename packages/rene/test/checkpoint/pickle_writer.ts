// Writes .bin files of tensors with any strides, like torch.save, for tests.
import { zipOf } from './zip_writer.js';

/** A tensor over a storage of f32 numbers. */
export interface WrittenTensor {
  /** The key of its storage. */
  readonly storage: string;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** A value that a checkpoint's dict can contain. */
export type Written =
  | WrittenTensor
  | number
  | string
  | boolean
  | null
  | readonly Written[]
  | { readonly dict: Readonly<Record<string, Written>> };

/** The bytes of a file with this value. */
export function torchFile(
  value: Written,
  storages: Readonly<Record<string, Float32Array>>,
): Uint8Array {
  const lengths = new Map(Object.entries(storages).map(([key, { length }]) => [key, length]));
  const pickle = [0x80, 2, ...pickled(value, lengths), 0x2e];
  const files: Record<string, Uint8Array> = { 'archive/data.pkl': Uint8Array.from(pickle) };
  for (const [key, values] of Object.entries(storages)) {
    files[`archive/data/${key}`] = new Uint8Array(
      values.buffer,
      values.byteOffset,
      values.byteLength,
    );
  }
  return zipOf(files);
}

function pickled(value: Written, lengths: ReadonlyMap<string, number>): number[] {
  const tuple = (values: readonly Written[]) => [
    0x28,
    ...values.flatMap((each) => pickled(each, lengths)),
    0x74,
  ];
  if (value === null) return [0x4e];
  if (typeof value === 'boolean') return [value ? 0x88 : 0x89];
  if (typeof value === 'string') {
    const bytes = [...Buffer.from(value)];
    return [0x58, ...int32(bytes.length), ...bytes];
  }
  if (typeof value === 'number') {
    if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) return [0x4a, ...int32(value)];
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    return [0x47, ...bytes];
  }
  if (isList(value)) return tuple(value);
  if ('dict' in value) {
    const items = Object.entries(value.dict).flatMap(([key, item]) => [
      ...pickled(key, lengths),
      ...pickled(item, lengths),
    ]);
    return [0x7d, 0x28, ...items, 0x75];
  }
  const { storage, offset, shape, strides } = value;
  const global = (name: string) => [0x63, ...Buffer.from(name)];
  const id = [
    ...[0x28, ...pickled('storage', lengths), ...global('torch\nFloatStorage\n')],
    ...pickled(storage, lengths),
    ...pickled('cpu', lengths),
    ...pickled(lengths.get(storage) ?? 0, lengths),
    0x74,
  ];
  return [
    ...global('torch._utils\n_rebuild_tensor_v2\n'),
    ...[0x28, ...id, 0x51],
    ...pickled(offset, lengths),
    ...tuple(shape),
    ...tuple(strides),
    ...pickled(false, lengths),
    ...[...global('collections\nOrderedDict\n'), 0x29, 0x52, 0x74, 0x52],
  ];
}

function isList(value: Written): value is readonly Written[] {
  return Array.isArray(value);
}

function int32(value: number): number[] {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return [...bytes];
}
