// Vectors of constants for loops, as the table in math.ts has them: a load costs less than making them. Where they are written as
// constants, newer engines (that of Node 24) make them anew at each use, by three instructions; read before a loop they
// stay in a register.
const NUMBERS = memory.data<u32>([
  0x00010001, 0x0f0f0f0f, 0xffff0000, 0x7fffffff, 0x4b400000, 0x8fffe000, 0x43000000,
]);

/** 8 times 1, of 16 bits. */
export function ones(): v128 {
  return v128.load32_splat(NUMBERS);
}

/** The low nibble of each byte. */
export function lowNibbles(): v128 {
  return v128.load32_splat(NUMBERS, 4);
}

/** The upper half of each word, which is where a bf16 number's bits are in f32. */
export function upperHalves(): v128 {
  return v128.load32_splat(NUMBERS, 8);
}

/** All but the sign of each number of 32 bits. */
export function magnitudes(): v128 {
  return v128.load32_splat(NUMBERS, 12);
}

/** 1.5 x 2^23: added to a small number it rounds it, to even, to a whole one, which then stands in the lowest bits. */
export function rounding(): v128 {
  return v128.load32_splat(NUMBERS, 16);
}

/** The bits of a f16 number, moved to those of f32, that are its own. */
export function halfBits(): v128 {
  return v128.load32_splat(NUMBERS, 20);
}

/** 128, as a number. */
export function centre(): v128 {
  return v128.load32_splat(NUMBERS, 24);
}
