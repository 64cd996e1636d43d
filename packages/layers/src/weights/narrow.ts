// Rounds f32 values to a file's dtype, to nearest even as PyTorch does.
import type { StoredDType } from './packing.js';

/** Little-endian bytes of the values in another dtype; F32 shares memory with them. */
export function narrow(values: Float32Array, dtype: StoredDType): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  const round = dtype === 'BF16' ? bf16 : f16;
  for (let i = 0; i < halves.length; i++) halves[i] = round(bits[i] ?? 0);
  return new Uint8Array(halves.buffer);
}

function bf16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40; // NaN stays NaN
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function f16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65536 and above, infinity too
  if (magnitude >= 0x38800000) {
    // Normal number: rounding may carry into the exponent, up to infinity, which is correct.
    const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
    return sign | ((rounded - 0x38000000) >>> 13);
  }
  if (magnitude < 0x33000000) return sign; // below half of the smallest subnormal
  const exponent = magnitude >>> 23;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - exponent; // 14 to 24
  const half = 1 << (shift - 1);
  const odd = (mantissa >>> shift) & 1;
  return sign | ((mantissa + half - 1 + odd) >>> shift);
}
