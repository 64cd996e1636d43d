// 16-bit floats: bf16 and f16 to f32, f32 to bf16.

const BF16_STEP: u32 = 0x7fff;

/** Rounds an f32 to bf16, to nearest even. */
export function toBf16(value: f32): u16 {
  const bits = reinterpret<u32>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return <u16>((bits >> 16) | 0x40);
  return <u16>((bits + BF16_STEP + ((bits >> 16) & 1)) >> 16);
}

export function fromBf16(bits: u16): f32 {
  return reinterpret<f32>((<u32>bits) << 16);
}

export function fromF16(half: u16): f32 {
  const sign = (<u32>(half & 0x8000)) << 16;
  const magnitude = <u32>(half & 0x7fff);
  if (magnitude >= 0x7c00) {
    return reinterpret<f32>(sign | 0x7f800000 | ((magnitude & 0x3ff) << 13));
  }
  // The multiplication corrects the exponent's bias, also for subnormal values.
  const scaled = reinterpret<f32>(magnitude << 13) * reinterpret<f32>(<u32>0x77800000);
  return reinterpret<f32>(sign | reinterpret<u32>(scaled));
}
