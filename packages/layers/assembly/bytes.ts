// Products of bytes by relaxed SIMD, and what engines may differ in.

/** Signed bytes t times bytes w, summed in pairs: 8 numbers of 16 bits. Only where SIMD is relaxed. */
export function byteDot(t: v128, w: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(t, w);
  return unreachable();
}

/** sums + the products of four signed bytes of t and four bytes of w: 4 numbers. Only where SIMD is relaxed. */
export function byteDot4(t: v128, w: v128, sums: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(t, w, sums);
  return unreachable();
}

/** 1, and a byte with its top bit set; read from memory, so that no compiler decides for the engine. */
const TRIAL = memory.data<u8>([1, 0x80]);

/**
 * True where byteDot reads w as 0 to 255 (x86), false where as -128 to 127 (ARM): relaxed SIMD leaves this to the
 * engine, and the fastest instruction of each decides.
 */
export function takesUnsigned(): bool {
  if (!ASC_FEATURE_RELAXED_SIMD) return false;
  const dot = byteDot(v128.load8_splat(TRIAL), v128.load8_splat(TRIAL + 1));
  return i16x8.extract_lane_s(dot, 0) > 0;
}

/** Bytes whose products do not fit in 16 bits two by two: -128 with 255, or with -128 where w is signed. */
const LARGE = memory.data<u8>([0x80, 0xff]);

/**
 * True where byteDot4 is one instruction (VNNI on x86, the dot product on ARM): it sums four products in 32 bits then, and
 * in 16 bits two by two where it is made of others. Also false where it reads w otherwise than byteDot, as newer engines do on
 * processors with AVX-VNNI-INT8.
 */
export function dotsAreWhole(): bool {
  if (!ASC_FEATURE_RELAXED_SIMD) return false;
  const t = v128.load8_splat(LARGE);
  const w = takesUnsigned() ? v128.load8_splat(LARGE + 1) : t;
  const sum = i32x4.extract_lane(byteDot4(t, w, i32x4.splat(0)), 0);
  return sum === (takesUnsigned() ? -4 * 128 * 255 : 4 * 128 * 128);
}

/** XORed into four int8 codes, 0 to 255, to store them as byteDot reads them. */
export function codeFlip(): u32 {
  return takesUnsigned() ? 0 : 0x80808080;
}
