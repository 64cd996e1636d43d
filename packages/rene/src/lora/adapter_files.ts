// The files of a LoRA adapter, as PEFT names them.
import type { TensorFile } from '../checkpoint/tensor_file.js';

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';
export const OLD_ADAPTER_WEIGHTS = 'adapter_model.bin';

/** Where an adapter's files are, and how they are read. */
export interface AdapterFiles {
  /** Its path or URL, without a slash at the end. */
  readonly base: string;
  config(): Promise<unknown>;
  weights(): Promise<TensorFile>;
}
