// Memory layout of packed weights; weights.h describes it for the kernels.
import {
  isIntFormat,
  type PackedWeightAttrs,
  type WeightFormat,
} from '../../weights/packed_weight.js';

/** Integer formats have bf16 scales and offsets. */
export const PACKED = 'cuda';
/** An integer format with f16 scales and offsets, as in some checkpoints. */
export const PACKED_F16 = 'cuda-f16';

export const formatIds: Record<WeightFormat, number> = {
  f32: 0,
  bf16: 1,
  f16: 2,
  int8: 3,
  int4: 4,
};

/** Sizes of a matrix in memory: values, then a word of parameters per row and group. */
export interface WeightLayout {
  /** Stride between rows in bytes. */
  pitch: number;
  /** Columns per scale and offset; 1 if there are none. */
  group: number;
  groups: number;
  /** Offset of the parameters in bytes. */
  paramsAt: number;
  bytes: number;
}

/** Properties that determine the layout. */
export type WeightShape = Pick<PackedWeightAttrs, 'format' | 'layout' | 'groupSize'> & {
  shape: readonly number[];
};

export function layoutOf({ format, layout, shape, groupSize }: WeightShape): WeightLayout {
  const [rows = 0, columns = 0] = shape;
  if (isIntFormat(format)) {
    const groups = Math.ceil(columns / groupSize);
    const pitch = (groups * groupSize) / (format === 'int8' ? 1 : 2);
    const paramsAt = rows * pitch;
    return { pitch, group: groupSize, groups, paramsAt, bytes: paramsAt + rows * groups * 4 };
  }
  const size = format === 'f32' ? 4 : 2;
  // Multiple of the tensor cores' tile size.
  const pitch = layout === 'rows' ? columns * 4 : Math.ceil((columns * size) / 64) * 64;
  return { pitch, group: 1, groups: 0, paramsAt: rows * pitch, bytes: rows * pitch };
}
