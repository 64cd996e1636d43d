// How many bytes of weights a decoded token must read: the floor of its time on a CPU.
import type { PackedWeight, Parameter, WeightFormat } from '@rene-js/layers';
import { weightBytes } from '@rene-js/layers/internal';
import type { ReneConfig } from '@rene-js/rene';

/**
 * Bytes of all matrices as a checkpoint holds them, once; of an embedding that is not the head too, a
 * token reads one row only.
 */
export function checkpointBytes(
  config: ReneConfig,
  parameters: ReadonlyMap<string, Parameter>,
): number {
  let bytes = 0;
  for (const [name, weight] of matrices(parameters)) {
    if (!config.tieWordEmbeddings && name.endsWith('embedding.weight')) continue;
    bytes += weightBytes(weight.format, weight.shape, weight.groupSize);
  }
  return bytes;
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
