// Writes a model folder that the original Python loads: model.safetensors and config.json.
import {
  type Parameter,
  type ParameterSpec,
  type StoredDType,
  type WeightFormat,
  weightPacker,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { configToJson, type ReneConfig } from '../config.js';
import { CheckpointError } from '../errors.js';
import { stringifyJson } from '../json.js';
import { narrow } from './narrow.js';
import { writeFileAtomically } from './node_files.js';
import { type TensorToWrite, writeSafetensors } from './safetensors.js';

export interface SaveOptions {
  /**
   * The matrices' dtype in the file; vectors are always F32. By default what the weights are held
   * in: BF16 for bf16, F16 for f16, otherwise F32.
   */
  dtype?: StoredDType;
  /** Strings added to the file's metadata. */
  metadata?: Readonly<Record<string, string>>;
}

/**
 * Saves a model to a folder, which is made if need be. Each file is written under a temporary name
 * and renamed, so a failure leaves an older model as it was. A tied head is not repeated.
 *
 * @throws CheckpointError when a parameter is missing.
 */
export async function saveCheckpoint(
  dir: string,
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, Parameter>,
  config: ReneConfig,
  options: SaveOptions = {},
): Promise<void> {
  const tensors = specs.map((spec): TensorToWrite => {
    const parameter = parameters.get(spec.name);
    if (!parameter) throw new CheckpointError(`the parameter '${spec.name}' is missing`);
    const { name, shape } = spec;
    if (parameter instanceof tf.Tensor) {
      return { name, shape, dtype: 'F32', bytes: async () => bytesOf(await parameter.data()) };
    }
    const dtype = options.dtype ?? fileDType(parameter.format);
    return {
      name,
      shape,
      dtype,
      bytes: async () => narrow(await weightPacker().unpack(parameter), dtype),
    };
  });
  const metadata = { ...options.metadata, format: 'pt' };
  await writeFileAtomically(`${dir}/model.safetensors`, (put) =>
    writeSafetensors(tensors, metadata, put),
  );
  const json = new TextEncoder().encode(stringifyJson(configToJson(config)));
  await writeFileAtomically(`${dir}/config.json`, (put) => put(json));
}

function fileDType(format: WeightFormat): StoredDType {
  if (format === 'bf16') return 'BF16';
  return format === 'f16' ? 'F16' : 'F32';
}

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
