// Quantised values packed without gaps, the first in the lowest bits, as in MLX with 2 to 8 bits.

/**
 * Unpacks quantised values.
 *
 * @param bytes whole packs of 8 quantised values, `bits` bytes each; rows of a multiple of 32 columns consist
 *   of whole packs
 * @param bits bits per value, 2 to 8
 * @returns one value per byte
 */
export function unpackIntegers(bytes: Uint8Array, bits: number): Uint8Array {
  const packs = Math.floor(bytes.length / bits);
  const values = new Uint8Array(packs * 8);
  const mask = (1 << bits) - 1;
  for (let pack = 0; pack < packs; pack++) {
    const start = pack * bits;
    for (let i = 0; i < 8; i++) {
      const bit = i * bits;
      const at = start + (bit >> 3);
      const pair = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
      values[pack * 8 + i] = (pair >> (bit & 7)) & mask;
    }
  }
  return values;
}

/** Packs quantised values, given one per byte, two to a byte. */
export function packNibbles(values: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(values.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = (values[2 * i] ?? 0) | ((values[2 * i + 1] ?? 0) << 4);
  }
  return bytes;
}
