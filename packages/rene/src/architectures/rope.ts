// Inverse frequencies of rotary positions, as the transformers library computes them from config.json.
import { asRecord, shortJson } from '../json.js';
import type { ConfigValues } from './config_values.js';

/**
 * Radians per token for each rotated pair of a head's channels. Older configs have `rope_theta`,
 * `rope_scaling` and `partial_rotary_factor`; newer ones have all of them in `rope_parameters`.
 *
 * @param share fraction of a head's channels that is rotated, if the config does not give it
 * @throws ConfigError for unsupported kinds of scaling
 */
export function ropeFrequencies(values: ConfigValues, headDim: number, share = 1): number[] {
  const newer = asRecord(values.value('rope_parameters')) ?? {};
  const older = asRecord(values.value('rope_scaling')) ?? {};
  const rope: Record<string, unknown> = { ...older, ...newer };
  const number = (key: string, fallback?: number): number => {
    const value = rope[key] ?? values.value(key) ?? fallback;
    if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value;
    throw values.error(key, 'a finite number above 0', shortJson(value));
  };
  const theta = number('rope_theta', 10_000);
  const dim = Math.trunc(headDim * number('partial_rotary_factor', share));
  if (dim < 2 || dim % 2 !== 0 || dim > headDim) {
    throw values.error(
      'partial_rotary_factor',
      `a fraction that rotates an even number of a head's ${headDim} channels`,
      `${dim}`,
    );
  }
  const frequencies = Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim));
  const type = rope.rope_type ?? rope.type ?? 'default';
  switch (type) {
    case 'default':
      return frequencies;
    case 'linear': {
      const factor = number('factor');
      return frequencies.map((frequency) => frequency / factor);
    }
    case 'llama3':
      return llama3(frequencies, {
        factor: number('factor'),
        low: number('low_freq_factor'),
        high: number('high_freq_factor'),
        length: number('original_max_position_embeddings'),
      });
    default:
      throw values.error(
        'rope_parameters.rope_type',
        "'default', 'linear' or 'llama3' (others are not supported)",
        shortJson(type),
      );
  }
}

/**
 * Long wavelengths are stretched by the factor, short ones are unchanged, and those in between are
 * interpolated.
 */
function llama3(
  frequencies: readonly number[],
  { factor, low, high, length }: { factor: number; low: number; high: number; length: number },
): number[] {
  return frequencies.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < length / high) return frequency;
    if (wavelength > length / low) return frequency / factor;
    const smooth = (length / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}
