// Writes a model folder that the original Python loads: model.safetensors and config.json.
import type { PackedWeight, Parameter } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import type { CheckpointTensors } from '../architectures/blueprint.js';
import { type DTypeName, weightFormatOrAuto } from '../dtype_names.js';
import { refuseUnknownOptions } from '../known_options.js';
import type { Tokenizer } from '../tokenizer.js';
import { jsonFile } from './json_file.js';
import { writeSafetensors } from './safetensors.js';
import { disposeWeights, quantizedWeight } from './saved_matrix.js';
import { type StoredTensors, storedTensors } from './stored_tensors.js';
import type { FolderFile } from './write_folder.js';

export interface SaveOptions {
  /**
   * dtype of the matrices in the file, or an alias. Vectors are always F32. 'int8' and 'int4' quantise
   * matrices that are not quantised yet, in groups of 64 columns, on the model's backend. Default: 'auto',
   * the format of the weights in memory; 'f32' for int8 and int4.
   */
  dtype?: 'auto' | DTypeName | undefined;
  /**
   * Write int8 and int4 weights as quantised values, in MLX's layout, with a `quantization` section in
   * config.json. They load without further rounding; the original Python cannot read them. Default: true if
   * dtype is 'int8' or 'int4'.
   */
  quantized?: boolean | undefined;
  /** Strings to add to the file's metadata. Default: none. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /** Tokenizer to save with the model, so that the folder is complete. Default: none. */
  tokenizer?: Pick<Tokenizer, 'files'> | undefined;
}

const KNOWN: Readonly<Record<keyof SaveOptions, true>> = {
  dtype: true,
  quantized: true,
  metadata: true,
  tokenizer: true,
};

/**
 * Saves a model to a folder, which is created if necessary: all of its files, or none if one cannot be
 * written. A tied head is not repeated.
 *
 * @param dir a path or a file URL
 * @param config the content of config.json
 * @param others further files for the folder
 * @returns the names of the written files
 * @throws InvalidArgumentError for unknown options, CheckpointError if a parameter is missing or cannot be
 *   quantised, FileError naming a file that cannot be written
 */
export async function saveCheckpoint(
  dir: string | URL,
  blueprint: CheckpointTensors,
  parameters: ReadonlyMap<string, Parameter>,
  config: Readonly<Record<string, unknown>>,
  options: SaveOptions = {},
  others: readonly FolderFile[] = [],
): Promise<string[]> {
  refuseUnknownOptions(options, KNOWN);
  const format = weightFormatOrAuto(options.dtype ?? 'auto');
  const { writeFolder } = await import('./write_folder.js');
  const made: PackedWeight[] = [];
  const saved = new Map<string, Parameter>();
  try {
    const isQuantized = format === 'int8' || format === 'int4';
    for (const [name, parameter] of parameters) {
      if (parameter instanceof tf.Tensor || !isQuantized) saved.set(name, parameter);
      else {
        const weight = await quantizedWeight(parameter, format);
        if (weight !== parameter) made.push(weight);
        saved.set(name, weight);
      }
    }
    const asQuantized = options.quantized ?? isQuantized;
    const isFloat = format === 'f32' || format === 'bf16' || format === 'f16';
    const stored = storedTensors(blueprint, saved, {
      asQuantized,
      format: isFloat ? format : undefined,
    });
    const metadata = { ...options.metadata, format: 'pt' };
    const json = { ...config, ...quantizationOf(stored) };
    const tensors = stored.flatMap(({ written }) => written);
    const files: FolderFile[] = [
      jsonFile('config.json', json),
      ...tokenizerFiles(options.tokenizer),
      ...others,
      { name: 'model.safetensors', write: (put) => writeSafetensors(tensors, metadata, put) },
    ];
    await writeFolder(dir, files);
    return files.map(({ name }) => name);
  } finally {
    disposeWeights(made);
  }
}

function tokenizerFiles(tokenizer: SaveOptions['tokenizer']): FolderFile[] {
  return [...(tokenizer?.files ?? [])].map(([name, json]) => jsonFile(name, json));
}

/**
 * The section of config.json that describes the packing of quantised values, as MLX writes it: the packing of
 * the first matrix, and by module name of the matrices with another one.
 */
function quantizationOf(tensors: readonly StoredTensors[]): Record<string, unknown> {
  let general: { group_size: number; bits: number } | undefined;
  const modules: Record<string, unknown> = {};
  for (const { name, quantized } of tensors) {
    if (!quantized) continue;
    const own = { group_size: quantized.groupSize, bits: quantized.format === 'int4' ? 4 : 8 };
    general ??= own;
    if (own.bits === general.bits && own.group_size === general.group_size) continue;
    modules[name.replace(/\.weight$/, '')] = own;
  }
  return general === undefined ? {} : { quantization: { ...general, ...modules } };
}
