// The models that `rene eval` can measure: Rene, and by adapters servers and transformers.js.
import { createHash } from 'node:crypto';
import type { EvaluationModel } from '../evaluation/evaluation_model.js';
import { modelHash } from '../evaluation/model_hash.js';
import { ReneScorer } from '../evaluation/scoring/rene_scorer.js';
import { adapterFolder } from '../lora/open_adapter.js';
import type { ReneLMHeadModel } from '../model.js';
import { chosenDtype, type EvalOptions, type ModelChoice, type ModelKind } from './eval_options.js';
import { loadModel, loadTokenizer, modelFolder } from './load.js';
import { UsageError } from './report_error.js';

export interface LoadedEvalModel {
  model: EvaluationModel;
  kind: ModelKind;
  /** As tables and folders name it. */
  name: string;
  /** What its results are cached under. */
  hash: string;
  device: string;
  batchSize: number | string;
  /** More for the results file. */
  modelInfo: Record<string, unknown>;
  dispose(): void;
}

export function loadEvalModel(choice: ModelChoice, options: EvalOptions): Promise<LoadedEvalModel> {
  switch (choice.kind) {
    case 'rene_ssm':
      return loadRene(choice, options);
    case 'local-completions':
      return loadServer(choice, options);
    case 'transformers.js':
      return loadTransformers(choice, options);
  }
}

async function loadRene(
  { kind, name, args }: ModelChoice,
  options: EvalOptions,
): Promise<LoadedEvalModel> {
  const dir = await modelFolder(name, args.revision);
  const tokenizer = await loadTokenizer(dir, options.tokenizer ?? args.tokenizer);
  const dtype = chosenDtype(options, args);
  const backend = options.backend ?? args.backend ?? 'auto';
  const adapter = options.lora ?? args.peft;
  const lora = adapter === undefined ? undefined : await adapterFolder(adapter);
  const model = await loadModel(dir, {
    backend,
    ...(dtype !== undefined && { dtype }),
    ...(lora !== undefined && { lora }),
  });
  const scorer = new ReneScorer(model, tokenizer, {
    batchSize: options.batch_size,
    maxLength: maxLengthOf(options, args),
  });
  return {
    model: scorer,
    kind,
    name: name ?? 'rene-tiny',
    hash: await modelHash(dir, [
      ...[model.backend, dtype ?? 'auto', options.tokenizer ?? ''],
      ...(lora === undefined ? [] : [await modelHash(lora, [])]),
    ]),
    device: model.backend,
    batchSize: options.batch_size,
    modelInfo: {
      model_num_parameters: parameterCount(model),
      model_dtype: dtype ?? 'auto',
      model_revision: args.revision ?? 'main',
      ...(adapter !== undefined && { peft: adapter }),
      model_sha: '',
    },
    dispose: () => model.dispose(),
  };
}

function parameterCount({ parameters }: ReneLMHeadModel): number {
  let count = 0;
  for (const { shape } of parameters.values()) count += shape.reduce((a, b) => a * b, 1);
  return count;
}

async function loadServer(
  { kind, name, args }: ModelChoice,
  options: EvalOptions,
): Promise<LoadedEvalModel> {
  const { base_url: baseUrl } = args;
  if (baseUrl === undefined || name === undefined) {
    throw new UsageError(
      'local-completions needs --model_args model=NAME,base_url=http://HOST/v1/completions',
    );
  }
  const { CompletionsServer } = await import('../evaluation/adapters/completions_server.js');
  const maxLength = maxLengthOf(options, args);
  const tokenizer = options.tokenizer ?? args.tokenizer;
  const model = await CompletionsServer.connect(baseUrl, {
    model: name,
    tokenizer: tokenizer === undefined ? undefined : await loadTokenizer(tokenizer, tokenizer),
    batchSize: options.batch_size === 'auto' ? undefined : options.batch_size,
    maxLength,
    apiKey: process.env.OPENAI_API_KEY,
    concurrency: concurrencyOf(args),
  });
  return {
    model,
    kind,
    name,
    hash: hashOf(kind, baseUrl, name, tokenizer ?? ''),
    device: baseUrl,
    batchSize: options.batch_size,
    modelInfo: {},
    dispose: () => {},
  };
}

async function loadTransformers(
  { kind, name, args }: ModelChoice,
  options: EvalOptions,
): Promise<LoadedEvalModel> {
  if (name === undefined) throw new UsageError('transformers.js needs --model_args pretrained=ID');
  const { TransformersModel } = await import('../evaluation/adapters/transformers_js.js');
  const model = await TransformersModel.load(name, {
    dtype: args.dtype,
    device: args.device,
    revision: args.revision,
    maxLength: maxLengthOf(options, args),
    batchSize: options.batch_size === 'auto' ? undefined : options.batch_size,
  });
  return {
    model,
    kind,
    name,
    hash: hashOf(kind, name, args.dtype ?? '', args.revision ?? ''),
    device: args.device ?? 'cpu',
    batchSize: options.batch_size,
    modelInfo: { model_dtype: args.dtype ?? 'auto' },
    dispose: () => model.dispose(),
  };
}

/** A model whose weights cannot be read is known by its names. */
function hashOf(...names: readonly string[]): string {
  return createHash('sha256').update(names.join('\0')).digest('hex').slice(0, 32);
}

/** @throws UsageError */
function concurrencyOf({ num_concurrent }: ModelChoice['args']): number | undefined {
  if (num_concurrent === undefined) return undefined;
  const value = Number(num_concurrent);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new UsageError(
    `--model_args: num_concurrent: expected a whole number from 1, found ${num_concurrent}`,
  );
}

/** @throws UsageError */
function maxLengthOf({ max_length }: EvalOptions, args: ModelChoice['args']): number | undefined {
  if (max_length !== undefined || args.max_length === undefined) return max_length;
  const value = Number(args.max_length);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new UsageError(
    `--model_args: max_length: expected a whole number from 1, found ${args.max_length}`,
  );
}
