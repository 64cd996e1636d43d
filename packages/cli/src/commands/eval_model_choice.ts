// Selects the model that `rene eval` measures: its kind, its name and the arguments in --model_args.
import { InvalidArgumentError } from '@rene-js/layers';
import { weightFormatOrAuto } from '@rene-js/rene/internal';
import { BACKENDS } from './backend_option.js';
import type { EvalOptions } from './eval_options.js';
import { UsageError } from './report_error.js';

export type ModelKind = 'rene_ssm' | 'local-completions' | 'transformers.js';

export interface ModelChoice {
  kind: ModelKind;
  /** Folder or hub id. Default: the included model. */
  name: string | undefined;
  args: Readonly<Record<string, string>>;
}

/** Values of --model: model kinds by lm-eval's names. */
const KINDS: Readonly<Record<string, ModelKind>> = {
  rene_ssm: 'rene_ssm',
  rene: 'rene_ssm',
  hf: 'rene_ssm',
  'hf-auto': 'rene_ssm',
  huggingface: 'rene_ssm',
  mamba_ssm: 'rene_ssm',
  'local-completions': 'local-completions',
  'openai-completions': 'local-completions',
  'transformers.js': 'transformers.js',
};

/** lm-eval's other kinds. Write ./NAME for a model folder of such a name. */
const OTHER_KINDS = new Set(
  (
    'anthropic anthropic-chat anthropic-chat-completions anthropic-completions deepsparse dummy ggml gguf ' +
    'habana hf-audiolm-qwen hf-mistral3 hf-multimodal ibm_watsonx ipex litellm litellm-chat ' +
    'local-chat-completions megatron_lm mlx nemo_lm neuronx openai-chat-completions openvino ' +
    'openvino-causal optimum-lm sglang sglang-generate sparseml steered textsynth tgi vllm vllm-vlm ' +
    'watsonx_llm winml'
  ).split(' '),
);

/** Keys of --model_args that each kind reads. */
const KEYS: Readonly<Record<ModelKind, readonly string[]>> = {
  rene_ssm: [
    ...['pretrained', 'model', 'revision', 'tokenizer', 'dtype', 'backend', 'device', 'peft'],
    ...['max_length', 'batch_size'],
  ],
  'local-completions': [
    ...['model', 'pretrained', 'base_url', 'tokenizer', 'max_length', 'num_concurrent'],
    'batch_size',
  ],
  'transformers.js': [
    ...['pretrained', 'model', 'revision', 'dtype', 'device', 'max_length', 'batch_size'],
  ],
};

/** lm-eval keys that change no result here, with any value. */
const IGNORED = new Set(
  (
    'trust_remote_code use_fast_tokenizer parallelize device_map device_map_option ' +
    'max_memory_per_gpu max_cpu_memory offload_folder max_batch_size low_cpu_mem_usage ' +
    'attn_implementation logits_cache is_hf max_retries timeout max_gen_toks eos_string seed ' +
    'think_end_token enable_thinking chat_template_args truncation truncate'
  ).split(' '),
);

/** lm-eval keys that are accepted with the values that match what this program does. */
const FIXED: Readonly<Record<string, readonly string[]>> = {
  add_bos_token: ['false', 'none'],
  softmax_dtype: ['float32', 'none'],
  mixed_precision_dtype: ['none'],
  subfolder: ['', 'none'],
  tokenized_requests: ['true'],
  tokenizer_backend: ['auto', 'remote', 'huggingface'],
  verify_certificate: ['true'],
};

/**
 * @param models positional arguments of `rene eval`
 * @throws UsageError
 */
export function chooseModel(models: readonly string[], options: EvalOptions): ModelChoice {
  const { model, model_args: args = {} } = options;
  if (model !== undefined && OTHER_KINDS.has(model)) {
    throw new UsageError(
      `--model: expected ${Object.keys(KINDS).join(', ')}, or a model folder or hub id, found ` +
        `lm-eval's ${model}, which is not available here; local-completions measures any server`,
    );
  }
  const known = model !== undefined && Object.hasOwn(KINDS, model) ? KINDS[model] : undefined;
  const kind = known ?? 'rene_ssm';
  checkArgs(kind, args);
  const given = [...models, known ? undefined : model, args.pretrained, args.model];
  const names = new Set(given.filter((name) => name !== undefined));
  if (names.size > 1) {
    throw new UsageError(`expected one model, found ${[...names].join(' and ')}`);
  }
  const [name] = names;
  return { kind, name, args };
}

/** @throws UsageError for an unknown key or an unsupported value */
function checkArgs(kind: ModelKind, args: ModelChoice['args']): void {
  for (const [key, value] of Object.entries(args)) {
    if (KEYS[kind].includes(key) || IGNORED.has(key)) continue;
    const allowed = Object.hasOwn(FIXED, key) ? FIXED[key] : undefined;
    if (allowed?.includes(value.toLowerCase())) continue;
    if (allowed) {
      throw new UsageError(
        `--model_args: ${key}: expected ${allowed.join(' or ')}, found ${value}`,
      );
    }
    throw new UsageError(
      `--model_args: unknown key '${key}' for ${kind}; expected ${KEYS[kind].join(', ')}`,
    );
  }
}

/** --dtype, or dtype= in --model_args. @throws UsageError */
export function chosenDtype(
  { dtype }: EvalOptions,
  args: ModelChoice['args'],
): EvalOptions['dtype'] {
  if (dtype !== undefined || args.dtype === undefined) return dtype;
  try {
    return weightFormatOrAuto(args.dtype);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new UsageError(`--model_args: ${error.message}`);
  }
}

/** --backend, or backend= in --model_args, if it is not one of lm-eval's own values. @throws UsageError */
export function chosenBackend(
  { backend }: Pick<EvalOptions, 'backend'>,
  args: ModelChoice['args'],
): string {
  const own = args.backend ?? 'default';
  if (backend !== undefined || ['default', 'causal'].includes(own)) return backend ?? 'auto';
  if (BACKENDS.includes(own)) return own;
  const expected = BACKENDS.join(', ');
  throw new UsageError(`--model_args: backend: expected one of ${expected}, found ${own}`);
}

/** A positive integer in --model_args. @throws UsageError */
export function countArg(args: ModelChoice['args'], key: string): number | undefined {
  const text = args[key];
  if (text === undefined || text.toLowerCase() === 'none') return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new UsageError(`--model_args: ${key}: expected a whole number from 1, found ${text}`);
}

/** --batch_size, or batch_size= in --model_args. @throws UsageError */
export function chosenBatchSize(
  { batch_size }: EvalOptions,
  args: ModelChoice['args'],
): number | 'auto' {
  if (batch_size !== 'auto' || /^auto(:\d+)?$/.test(args.batch_size ?? 'auto')) return batch_size;
  return countArg(args, 'batch_size') ?? 'auto';
}

/** The notice when --device names another device than the one in use. */
export function deviceNotice(device: string | undefined, backend: string): string | undefined {
  if (device === undefined) return undefined;
  const kinds: Readonly<Record<string, string>> = { cpu: 'CPU', simd: 'CPU', cuda: 'GPU' };
  const where = Object.hasOwn(kinds, backend) ? kinds[backend] : undefined;
  // A backend that may run on the CPU or a GPU.
  if (where === undefined) return undefined;
  const wanted = device.startsWith('cpu') ? 'CPU' : device.startsWith('cuda') ? 'GPU' : device;
  if (wanted === where && !/^cuda:[1-9]/.test(device)) return undefined;
  return `--device ${device}: the model runs on the backend '${backend}' (${where}); --backend chooses another`;
}
