// Vector constants that loops read from memory, which is cheaper than building them. Newer engines (Node
// 24's) rebuild literal constants at each use with three instructions; values loaded before a loop stay in
// registers.
const NUMBERS = memory.data<u32>([
  0x00010001, 0x0f0f0f0f, 0xffff0000, 0x7fffffff, 0x4b400000, 0x8fffe000, 0x43000000,
]);

/** 8 times 1, in 16 bits. */
export function ones(): v128 {
  return v128.load32_splat(NUMBERS);
}

/** The low nibble of each byte. */
export function lowNibbles(): v128 {
  return v128.load32_splat(NUMBERS, 4);
}

/** The upper half of each word, where a bf16 value's bits are in f32. */
export function upperHalves(): v128 {
  return v128.load32_splat(NUMBERS, 8);
}

/** All bits but the sign of each 32-bit value. */
export function magnitudes(): v128 {
  return v128.load32_splat(NUMBERS, 12);
}

/**
 * 1.5 x 2^23: adding it rounds a small value to an integer (ties to even), which is then in the lowest
 * bits.
 */
export function rounding(): v128 {
  return v128.load32_splat(NUMBERS, 16);
}

/** The bits of an f16 value after its move to f32 positions. */
export function halfBits(): v128 {
  return v128.load32_splat(NUMBERS, 20);
}

/** 128 as f32. */
export function centre(): v128 {
  return v128.load32_splat(NUMBERS, 24);
}
