// Byte products with relaxed SIMD, and where engines differ.

/** Signed bytes t times bytes w, summed in pairs: 8 values of 16 bits. Requires relaxed SIMD. */
export function byteDot(t: v128, w: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(t, w);
  return unreachable();
}

/** sums + dot products of four signed bytes of t and four bytes of w: 4 values. Requires relaxed SIMD. */
export function byteDot4(t: v128, w: v128, sums: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(t, w, sums);
  return unreachable();
}

/** 1, -128 or 128, -1 or 255: read from memory, so that the compiler cannot evaluate the test. */
const TRIAL = memory.data<u8>([1, 0x80, 0xff]);

/**
 * Whether byteDot4 is one instruction (VNNI on x86, the dot product on ARM), which sums four products in 32
 * bits. Otherwise it is emulated with pair sums in 16 bits, which overflow here.
 */
export function hasInt8Dot4(): bool {
  if (!ASC_FEATURE_RELAXED_SIMD) return false;
  return trial4(1, 2) === -4 * 128 * 255 || trial4(1, 1) === 4 * 128 * 128;
}

/**
 * Whether the byte products that hasInt8Dot4 selects read w as 0 to 255 (most of x86) or as -128 to 127
 * (ARM, and AVX-VNNI-INT8). Relaxed SIMD leaves this to the engine.
 */
export function takesUnsigned(): bool {
  if (!ASC_FEATURE_RELAXED_SIMD) return false;
  if (hasInt8Dot4()) return trial4(0, 1) > 0;
  const dot = byteDot(v128.load8_splat(TRIAL), v128.load8_splat(TRIAL + 1));
  return i16x8.extract_lane_s(dot, 0) > 0;
}

/** Four times byte t of TRIAL by byte w. */
function trial4(t: usize, w: usize): i32 {
  const dot = byteDot4(v128.load8_splat(TRIAL + t), v128.load8_splat(TRIAL + w), i32x4.splat(0));
  return i32x4.extract_lane(dot, 0);
}

/** XORed with four int8 values, 0 to 255, to store them as the byte products read them. */
export function signFlip(): u32 {
  return takesUnsigned() ? 0 : 0x80808080;
}
