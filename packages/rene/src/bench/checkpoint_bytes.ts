// How many bytes of weights a decoded token must read: the floor of its time on a CPU.
import type { PackedWeight, Parameter, WeightFormat } from '@rene-js/layers';
import type { ReneConfig } from '../config.js';

/** Bits of a code or number of each format. */
const BITS: Readonly<Record<WeightFormat, number>> = {
  f32: 32,
  bf16: 16,
  f16: 16,
  int8: 8,
  int4: 4,
};
/** Of a group's scale and offset, 16 bits each. */
const GROUP_BITS = 32;

/**
 * Bytes of all matrices as a checkpoint holds them, once; of an embedding that is not the head too, a
 * token reads one row only.
 */
export function checkpointBytes(
  config: ReneConfig,
  parameters: ReadonlyMap<string, Parameter>,
): number {
  let bits = 0;
  for (const [name, weight] of matrices(parameters)) {
    if (!config.tieWordEmbeddings && name.endsWith('embedding.weight')) continue;
    const { format, groupSize } = weight;
    bits += sizeOf(weight) * (BITS[format] + (groupSize ? GROUP_BITS / groupSize : 0));
  }
  return bits / 8;
}

/** The format that most of the weights are in. */
export function mainFormat(parameters: ReadonlyMap<string, Parameter>): WeightFormat {
  const sizes = new Map<WeightFormat, number>();
  for (const [, weight] of matrices(parameters)) {
    sizes.set(weight.format, (sizes.get(weight.format) ?? 0) + sizeOf(weight));
  }
  const [largest] = [...sizes].sort(([, a], [, b]) => b - a);
  return largest?.[0] ?? 'f32';
}

function matrices(parameters: ReadonlyMap<string, Parameter>): [string, PackedWeight][] {
  return [...parameters].flatMap(([name, parameter]): [string, PackedWeight][] =>
    'format' in parameter ? [[name, parameter]] : [],
  );
}

function sizeOf({ shape: [rows, columns] }: PackedWeight): number {
  return rows * columns;
}
