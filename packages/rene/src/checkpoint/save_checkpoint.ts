// Writes a model folder that the original Python loads: model.safetensors and config.json.
import {
  narrow,
  type PackedWeight,
  type Parameter,
  type ParameterSpec,
  type QuantizedMatrix,
  type StoredDType,
  type WeightFormat,
  weightPacker,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { configToJson, type ReneConfig } from '../config.js';
import { CheckpointError } from '../errors.js';
import { stringifyJson } from '../json.js';
import { codesToWrite } from './quantized.js';
import { type TensorToWrite, writeSafetensors } from './safetensors.js';
import type { FolderFile } from './write_folder.js';

export interface SaveOptions {
  /**
   * The matrices' dtype in the file; vectors are always F32. By default what the weights are held
   * in: BF16 for bf16, F16 for f16, otherwise F32.
   */
  dtype?: StoredDType;
  /**
   * Keeps int8 and int4 weights as codes, in MLX's layout, with a `quantization` section in
   * config.json. They load without being rounded again; the original Python does not read them.
   */
  quantized?: boolean;
  /** Strings added to the file's metadata. */
  metadata?: Readonly<Record<string, string>>;
}

/**
 * Saves a model to a folder, which is made if need be: all of its files or, when one cannot be written, none.
 * A tied head is not repeated.
 *
 * @param others files beside the weights and config.json
 * @returns the names of the files that were written
 * @throws CheckpointError when a parameter is missing, FileError naming a file that cannot be written
 */
export async function saveCheckpoint(
  dir: string,
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, Parameter>,
  config: ReneConfig,
  options: SaveOptions = {},
  others: readonly FolderFile[] = [],
): Promise<string[]> {
  const { writeFolder } = await import('./write_folder.js');
  const tensors = specs.flatMap((spec): TensorToWrite[] => {
    const parameter = parameters.get(spec.name);
    if (!parameter) throw new CheckpointError(`the parameter '${spec.name}' is missing`);
    const { name, shape } = spec;
    if (parameter instanceof tf.Tensor) {
      return [{ name, shape, dtype: 'F32', bytes: async () => bytesOf(await parameter.data()) }];
    }
    if (options.quantized && hasCodes(parameter)) {
      return codesToWrite(name, exportCodes(parameter));
    }
    const dtype = options.dtype ?? fileDType(parameter.format);
    const bytes = async () => narrow(await weightPacker().unpack(parameter), dtype);
    return [{ name, shape, dtype, bytes }];
  });
  const metadata = { ...options.metadata, format: 'pt' };
  const json = {
    ...configToJson(config),
    ...(options.quantized && quantizationOf(parameters)),
  };
  const files: FolderFile[] = [
    jsonFile('config.json', json),
    ...others,
    { name: 'model.safetensors', write: (put) => writeSafetensors(tensors, metadata, put) },
  ];
  await writeFolder(dir, files);
  return files.map(({ name }) => name);
}

/** A file of JSON to be written. */
export function jsonFile(name: string, value: unknown): FolderFile {
  return { name, write: (put) => put(new TextEncoder().encode(stringifyJson(value))) };
}

/** Whether a weight is held as codes that fill whole groups, as the file's layout wants them. */
function hasCodes({ format, shape, groupSize }: PackedWeight): boolean {
  const isCodes = format === 'int8' || format === 'int4';
  return isCodes && groupSize !== undefined && shape[1] % groupSize === 0;
}

function exportCodes(weight: PackedWeight): QuantizedMatrix {
  const packer = weightPacker();
  if (packer.exportQuantized) return packer.exportQuantized(weight);
  throw new CheckpointError(`the backend '${tf.getBackend()}' cannot write quantised weights`);
}

/**
 * The section of config.json that tells how the codes are packed, as MLX writes it: the first matrix's way,
 * and by their modules' names the matrices that are packed in another.
 */
function quantizationOf(parameters: ReadonlyMap<string, Parameter>): Record<string, unknown> {
  let general: { group_size: number; bits: number } | undefined;
  const modules: Record<string, unknown> = {};
  for (const [name, parameter] of parameters) {
    if (parameter instanceof tf.Tensor || !hasCodes(parameter)) continue;
    const { format, groupSize = 0 } = parameter;
    const own = { group_size: groupSize, bits: format === 'int4' ? 4 : 8 };
    general ??= own;
    if (own.bits === general.bits && own.group_size === general.group_size) continue;
    modules[name.replace(/\.weight$/, '')] = own;
  }
  return general === undefined ? {} : { quantization: { ...general, ...modules } };
}

function fileDType(format: WeightFormat): StoredDType {
  if (format === 'bf16') return 'BF16';
  return format === 'f16' ? 'F16' : 'F32';
}

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
