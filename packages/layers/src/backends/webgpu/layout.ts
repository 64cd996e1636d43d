// How packed weights lie in GPU memory: rows of words, then a word of parameters a row and group.
//
// Quantised values are little-endian words as checkpoints have them, so they are bound without repacking.
import {
  isIntFormat,
  type PackedWeightAttrs,
  type WeightFormat,
} from '../../weights/packed_weight.js';
import type { Address } from '../native/address.js';

/** Integer formats have bf16 scales and offsets. */
export const PACKED = 'webgpu';
/** An integer format with f16 scales and offsets, as some checkpoints have them. */
export const PACKED_F16 = 'webgpu-f16';

/** What the layout follows from. */
export type WeightShape = Pick<PackedWeightAttrs, 'format' | 'layout' | 'groupSize'> & {
  shape: readonly number[];
};

/** Numbers in a word. */
export const perWord: Readonly<Record<WeightFormat, number>> = {
  f32: 1,
  bf16: 2,
  f16: 2,
  int8: 4,
  int4: 8,
};

export interface WeightLayout {
  /** Bytes from one row to the next. */
  pitch: number;
  /** Columns that share parameters; 1 where there are none. */
  group: number;
  groups: number;
  /** Where the parameters start, in bytes. */
  paramsAt: number;
  bytes: number;
}

export function layoutOf({ format, layout, shape, groupSize }: WeightShape): WeightLayout {
  const [rows = 0, columns = 0] = shape;
  const words = Math.ceil(columns / perWord[format]);
  if (layout === 'rows') return plain(rows, columns * 4);
  // A kernel reads four words at once.
  if (!isIntFormat(format)) return plain(rows, Math.ceil(words / 4) * 16);
  const groups = Math.ceil(columns / groupSize);
  const pitch = ((groups * groupSize) / perWord[format]) * 4;
  const paramsAt = rows * pitch;
  // A whole number of the vectors that kernels read.
  const bytes = paramsAt + Math.ceil((rows * groups) / 4) * 16;
  return { pitch, group: groupSize, groups, paramsAt, bytes };
}

function plain(rows: number, pitch: number): WeightLayout {
  return { pitch, group: 1, groups: 0, paramsAt: rows * pitch, bytes: rows * pitch };
}

/** Rows of a weight that one binding covers. */
export interface WeightPart {
  first: number;
  count: number;
  weight: Address;
  /** 0 where there are none. */
  params: Address;
}

/** A weight in parts that each fit a binding of `most` bytes. */
export function weightParts(
  weight: Address,
  attrs: PackedWeightAttrs,
  most: number,
): readonly WeightPart[] {
  const { pitch, groups, paramsAt, bytes } = layoutOf(attrs);
  const [rows = 0] = attrs.shape;
  const part = (first: number, count: number) => ({
    first,
    count,
    weight: weight + first * pitch,
    params: groups === 0 ? 0 : weight + paramsAt + first * groups * 4,
  });
  if (bytes <= most) return [part(0, rows)];
  // A binding starts at a multiple of 256 bytes before the first row.
  const each = Math.max(1, Math.floor((most - 256) / pitch));
  return Array.from({ length: Math.ceil(rows / each) }, (_, i) =>
    part(i * each, Math.min(each, rows - i * each)),
  );
}

/** Bytes of this many rows with their parameters. */
export function rowBytes({ pitch, groups }: WeightLayout, rows: number): number {
  return rows * (pitch + groups * 4);
}
