// Bytes of weights that a decoded token must read: a lower bound of its time on a CPU.
import type { PackedWeight, Parameter, WeightFormat } from '@rene-js/layers';
import { weightBytes } from '@rene-js/layers/internal';
import type { ModelConfig } from '@rene-js/rene';

/**
 * Bytes of all matrices in a checkpoint's format, each once. An embedding that is not tied to the head
 * counts as one row.
 */
export function checkpointBytes(
  config: ModelConfig,
  parameters: ReadonlyMap<string, Parameter>,
): number {
  let bytes = 0;
  for (const [name, weight] of matrices(parameters)) {
    if (!config.tieWordEmbeddings && /(^|\.)embedding\.weight$/.test(name)) continue;
    bytes += weightBytes(weight.format, weight.shape, weight.groupSize);
  }
  return bytes;
}

/** The format of most weights. */
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
