// What dtype 'auto' resolves to: the checkpoint's dtype if the backend supports it and memory suffices.
import { type ParameterSpec, type WeightFormat, weightPacker } from '@rene-js/layers';
import { weightBytes } from '@rene-js/layers/internal';
import * as tf from '@tensorflow/tfjs-core';

type SizedParameter = Pick<ParameterSpec, 'kind' | 'shape'>;

/**
 * The format for matrices that are stored as `stored`, on the current backend. F16 becomes bf16 if the
 * backend has no f16. If it does not fit in memory, the next smaller format that does.
 *
 * @param stored the file's dtype, with safetensors' names; quantised matrices stay quantised, and this
 *   applies to the other matrices
 * @param onNotice called if values are rounded to a smaller format than the file's
 */
export function chooseFormat(
  stored: string,
  specs: readonly SizedParameter[],
  onNotice: (notice: string) => void,
): WeightFormat {
  const packer = weightPacker();
  const held = (format: WeightFormat) => packer.formats.includes(format);
  let format: WeightFormat = 'f32';
  if (stored === 'F16' || stored === 'BF16') {
    const own = stored === 'F16' ? 'f16' : 'bf16';
    if (held(own)) format = own;
    else if (held('bf16')) format = 'bf16';
  } else if (stored !== 'F32') {
    return format;
  }
  const weights = countWeights(specs);
  const bytesAs = (other: WeightFormat) => weightBytes(other, [weights, 1]);
  const room = packer.availableBytes?.() ?? Number.POSITIVE_INFINITY;
  const smaller = (['bf16', 'int8', 'int4'] as const).find(
    (other) => held(other) && bytesAs(other) < bytesAs(format) && bytesAs(other) <= room,
  );
  if (bytesAs(format) > room && smaller) {
    onNotice(
      `the weights need ${gigabytes(bytesAs(format))} as ${format}, but only ` +
        `${gigabytes(room)} are free: loading them as ${smaller} (pass a dtype for another format)`,
    );
    return smaller;
  }
  if (stored === 'F16' && format === 'bf16') {
    onNotice(
      `the weights are stored as f16, which the backend '${tf.getBackend()}' does not support: rounding ` +
        "them to bf16 (dtype 'f32' is exact and needs twice the memory)",
    );
  }
  return format;
}

/** Number of values in a model's matrices. */
export function countWeights(specs: readonly SizedParameter[]): number {
  const matrices = specs.filter(({ kind }) => kind === 'matrix');
  return matrices.reduce((sum, { shape }) => sum + shape.reduce((n, axis) => n * axis, 1), 0);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
