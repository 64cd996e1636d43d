// Sizes and strides of shapes, in numbers.

export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}

/** Numbers from one place on an axis to the next, for each axis. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = [...shape];
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i] ?? 1;
  }
  return strides;
}
