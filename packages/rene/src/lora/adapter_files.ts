// The files of a LoRA adapter, with PEFT's names.
import type { TensorFile } from '../checkpoint/tensor_file.js';

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';
export const OLD_ADAPTER_WEIGHTS = 'adapter_model.bin';

/** Location of an adapter's files, and how to read them. */
export interface AdapterFiles {
  /** Its path or URL, without a trailing slash. */
  readonly base: string;
  config(): Promise<unknown>;
  weights(): Promise<TensorFile>;
}
