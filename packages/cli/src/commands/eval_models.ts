// The models that `rene eval` can measure: Rene, and through adapters HTTP servers and transformers.js.
import { createHash } from 'node:crypto';
import { type CausalLM, readModelConfig } from '@rene-js/rene';
import { adapterFolder, EMBEDDED_MODEL, PrefixFiles } from '@rene-js/rene/internal';
import type { EvaluationModel } from '../evaluation/evaluation_model.js';
import { modelHash } from '../evaluation/model_hash.js';
import { prefixTokenId, ReneScorer } from '../evaluation/scoring/rene_scorer.js';
import { SharedStates } from '../evaluation/scoring/shared_states.js';
import { stateIdentity } from '../model_identity.js';
import {
  chosenBackend,
  chosenBatchSize,
  chosenDtype,
  countArg,
  deviceNotice,
  type ModelChoice,
  type ModelKind,
} from './eval_model_choice.js';
import type { EvalOptions } from './eval_options.js';
import {
  checkVocabulary,
  loadModel,
  loadTokenizer,
  modelFolder,
  onNotice,
  servedName,
} from './load.js';
import { UsageError } from './report_error.js';

export interface LoadedEvalModel {
  model: EvaluationModel;
  kind: ModelKind;
  /** The name in tables and folders. */
  name: string;
  /** The key under which its results are cached. */
  hash: string;
  device: string;
  batchSize: number | string;
  /** Additional fields for the results file. */
  modelInfo: Record<string, unknown>;
  dispose(): void;
}

export function loadEvalModel(choice: ModelChoice, options: EvalOptions): Promise<LoadedEvalModel> {
  switch (choice.kind) {
    case 'rene_ssm':
      return options.queue === undefined
        ? loadRene(choice, options)
        : loadByWorkers(choice, options, options.queue);
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
  const backend = chosenBackend(options, args);
  const batchSize = chosenBatchSize(options, args);
  const adapter = options.lora ?? args.peft;
  const lora = adapter === undefined ? undefined : await adapterFolder(adapter);
  const model = await loadModel(dir, {
    backend,
    ...(dtype !== undefined && { dtype }),
    ...(lora !== undefined && { lora }),
  });
  checkVocabulary(tokenizer, model.config);
  const notice = deviceNotice(options.device ?? args.device, model.backend);
  if (notice !== undefined) onNotice(notice);
  const scorer = new ReneScorer(model, tokenizer, {
    shared: await sharedStates(dir, model, lora, options),
    batchSize,
    maxLength: options.max_length ?? countArg(args, 'max_length'),
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
    batchSize,
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

async function loadByWorkers(
  { kind, name = EMBEDDED_MODEL, args }: ModelChoice,
  options: EvalOptions,
  url: string,
): Promise<LoadedEvalModel> {
  const { connect, disconnect, shownUrl } = await import('../scale_out/redis.js');
  const { identityOf } = await import('../scale_out/registry.js');
  const { QueueModel } = await import('../scale_out/queue_model.js');
  const where = shownUrl(url);
  const dir = await modelFolder(name, args.revision);
  const tokenizer = await loadTokenizer(dir, options.tokenizer ?? args.tokenizer);
  const config = await readModelConfig(dir);
  const redis = await connect(url, onNotice);
  const served = await servedName(name);
  const onWait = () => onNotice(`${where}: there is no worker with the model '${served}': waiting`);
  const identity = await identityOf(redis, served, onWait, new AbortController().signal);
  return {
    model: new QueueModel(redis, tokenizer, {
      identity,
      maxLength: options.max_length ?? countArg(args, 'max_length') ?? 4096,
      prefixTokenId: prefixTokenId(config, tokenizer),
    }),
    kind,
    name,
    hash: hashOf('queue', identity),
    device: where,
    batchSize: 'auto',
    modelInfo: {},
    dispose: () => disconnect(redis),
  };
}

async function sharedStates(
  dir: string,
  model: CausalLM,
  lora: string | undefined,
  { prefixCacheDir: root, prefixCacheDirBytes: bytes = DEFAULT_DIR_BYTES }: EvalOptions,
): Promise<SharedStates | undefined> {
  if (root === undefined) return undefined;
  const identity = await stateIdentity(dir, model, lora);
  const files = await PrefixFiles.open(root, identity, model, bytes);
  return new SharedStates(files, (error) =>
    onNotice(error instanceof Error ? error.message : String(error)),
  );
}

const DEFAULT_DIR_BYTES = 10 * 2 ** 30;

function parameterCount({ parameters }: CausalLM): number {
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
  const maxLength = options.max_length ?? countArg(args, 'max_length');
  const batchSize = chosenBatchSize(options, args);
  const tokenizer = options.tokenizer ?? args.tokenizer;
  const model = await CompletionsServer.connect(baseUrl, {
    model: name,
    tokenizer: tokenizer === undefined ? undefined : await loadTokenizer(tokenizer, tokenizer),
    batchSize: batchSize === 'auto' ? undefined : batchSize,
    maxLength,
    apiKey: process.env.OPENAI_API_KEY,
    concurrency: countArg(args, 'num_concurrent'),
  });
  return {
    model,
    kind,
    name,
    hash: hashOf(kind, baseUrl, name, tokenizer ?? ''),
    device: baseUrl,
    batchSize,
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
  const batchSize = chosenBatchSize(options, args);
  const device = args.device ?? options.device;
  const model = await TransformersModel.load(name, {
    dtype: args.dtype,
    device,
    revision: args.revision,
    maxLength: options.max_length ?? countArg(args, 'max_length'),
    batchSize: batchSize === 'auto' ? undefined : batchSize,
  });
  return {
    model,
    kind,
    name,
    hash: hashOf(kind, name, args.dtype ?? '', args.revision ?? ''),
    device: device ?? 'cpu',
    batchSize,
    modelInfo: { model_dtype: args.dtype ?? 'auto' },
    dispose: () => model.dispose(),
  };
}

/** Identifies a model whose weights cannot be read by its names. */
function hashOf(...names: readonly string[]): string {
  return createHash('sha256').update(names.join('\0')).digest('hex').slice(0, 32);
}
