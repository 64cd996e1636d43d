// Reads a job's arguments: 32-bit words, numbered by the enums in args.ts of each folder.
/** An address or a size. */
export function ptr(args: usize, word: usize): usize {
  return load<u32>(args + (word << 2));
}

export function int(args: usize, word: usize): i32 {
  return load<i32>(args + (word << 2));
}

export function num(args: usize, word: usize): f32 {
  return load<f32>(args + (word << 2));
}
