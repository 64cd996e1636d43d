// Options of loading a model: types and check for unknown ones.
import type { ParameterOptions } from '@rene-js/layers';
import { InvalidArgumentError } from '@rene-js/layers/errors';
import type { HubOptions } from './checkpoint/hub.js';
import type { DTypeName } from './dtype_names.js';
import { type OptionType, refuseUnknownOptions } from './known_options.js';

/** How a model is kept in memory, and on which backend. */
export interface ModelOptions extends Omit<ParameterOptions, 'format' | 'keepQuantized'> {
  /**
   * dtype of the matrices: 'f32', 'bf16', 'f16', 'int8' or 'int4', if the backend supports it, or an alias
   * ('float16', 'q4'). Default: 'auto', the checkpoint's dtype if the backend supports it, else f32 (bf16
   * for f16); a smaller one if that does not fit in memory.
   */
  dtype?: 'auto' | DTypeName | undefined;
  /** Called with notices, such as that 'auto' rounds. Default: console.warn. */
  onNotice?: ((notice: string) => void) | undefined;
  /** tfjs backend, see useBackend of @rene-js/layers. Default: the current one, else 'auto'. */
  backend?: string | undefined;
}

/** Options of CausalLM.fromPretrained. */
export interface PretrainedOptions extends ModelOptions {
  /** Options of downloads from the Hugging Face hub. */
  hub?: HubOptions | undefined;
  /**
   * A PEFT LoRA adapter: a folder, a hub id or a URL. It is applied while the weights are loaded. No file
   * changes.
   */
  lora?: string | URL | undefined;
}

/** Options of CausalLM.fromConfig. */
export interface RandomModelOptions extends ModelOptions {
  /** The same seed gives the same weights, on every backend. Default: 'rene'. */
  seed?: string | number | undefined;
}

const MODEL: Readonly<Record<keyof ModelOptions, OptionType>> = {
  dtype: true,
  backend: 'string',
  groupSize: 'number',
  wholeGroups: 'boolean',
  trainable: 'boolean',
  onProgress: 'function',
  onNotice: 'function',
};
const PRETRAINED: Readonly<Record<keyof PretrainedOptions, OptionType>> = {
  ...MODEL,
  hub: true,
  lora: true,
};
const RANDOM: Readonly<Record<keyof RandomModelOptions, OptionType>> = { ...MODEL, seed: true };
const HUB: Readonly<Record<keyof HubOptions, OptionType>> = {
  token: 'string',
  endpoint: 'string',
  cacheDir: 'string',
  offline: 'boolean',
  signal: 'object',
  retryDelay: 'number',
  timeout: 'number',
  revision: 'string',
  cache: 'boolean',
  onProgress: 'function',
  onNotice: 'function',
};

/** Names of our options in other libraries. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  torch_dtype: "dtype, for example 'bf16'",
  quantized: "dtype, for example 'int8'",
  load_in_8bit: "dtype: 'int8'",
  load_in_4bit: "dtype: 'int4'",
  device: "backend, for example 'simd' or 'cuda'",
  device_map: "backend, for example 'simd' or 'cuda'",
  progress_callback: 'onProgress',
  peft: 'lora',
  adapter: 'lora',
  ...Object.fromEntries(
    ['revision', 'token', 'cacheDir', 'cache', 'offline', 'endpoint', 'timeout', 'signal'].map(
      (name) => [name, `${name} inside hub: { hub: { ${name}: ... } }`],
    ),
  ),
  cache_dir: 'cacheDir inside hub: { hub: { cacheDir: ... } }',
  local_files_only: 'offline inside hub: { hub: { offline: true } }',
};

/** @throws InvalidArgumentError for an unknown option of fromPretrained */
export function checkPretrainedOptions(options: PretrainedOptions): void {
  refuseUnknownOptions(options, PRETRAINED, 'options', ELSEWHERE);
  const { hub, lora } = options;
  if (hub !== undefined) checkHubOptions(hub, 'hub');
  if (lora !== undefined && typeof lora !== 'string' && !(lora instanceof URL)) {
    throw new InvalidArgumentError('lora', "an adapter's folder, hub id or URL", String(lora));
  }
}

/** @throws InvalidArgumentError for an unknown option of fromConfig */
export function checkRandomModelOptions(options: RandomModelOptions): void {
  refuseUnknownOptions(options, RANDOM, 'options', ELSEWHERE);
}

/** @throws InvalidArgumentError for an unknown download option */
export function checkHubOptions(options: HubOptions, argument = 'options'): void {
  refuseUnknownOptions(options, HUB, argument);
}
