// Finds and loads the model and the tokenizer that a command uses.
import { basename, resolve } from 'node:path';
import {
  AutoModelForCausalLM,
  type CausalLM,
  type ModelConfig,
  Tokenizer,
  TokenizerError,
} from '@rene-js/rene';
import {
  EMBEDDED_MODEL,
  folderExists,
  readTextFile,
  resolveModel,
  resolveTokenizer,
  vocabularyNotice,
} from '@rene-js/rene/internal';
import type { LoadOptions } from './model_options.js';
import { withProgressBar } from './progress_bar.js';
import { UsageError } from './report_error.js';

/** Sets the thread count of the backend 'simd'. Call it before the backend starts. */
export async function limitThreads(threads: number | undefined): Promise<void> {
  if (threads === undefined) return;
  const { registerSimdBackend } = await import('@rene-js/layers/simd');
  registerSimdBackend({ threads });
}

/** The model that a command was given, as an argument or an option. @throws UsageError if it is given twice */
export function chosenModel(argument: string | undefined, option: string | undefined): string {
  if (argument !== undefined && option !== undefined && argument !== option) {
    throw new UsageError(`expected one model, found '${argument}' and --model '${option}'`);
  }
  return argument ?? option ?? EMBEDDED_MODEL;
}

/** The folder of a model. Downloads it with a progress bar if necessary. @throws CheckpointError, HubError */
export function modelFolder(model = EMBEDDED_MODEL, revision?: string): Promise<string> {
  const megabytes = (bytes: number) => Math.round(bytes / 1e6);
  const format = '{file} [{bar}] {value}/{total} MB, {rate} MB/s, {eta_formatted} left';
  return withProgressBar(format, (update) => {
    let start: number | undefined;
    let last = { file: '', bytes: 0 };
    let onDisk = 0;
    return resolveModel(model, {
      revision,
      onProgress: ({ file, bytes, totalBytes }) => {
        // The first report of a file counts bytes that an earlier run downloaded. Leave them out of the
        // rate.
        if (file !== last.file) onDisk += bytes - last.bytes;
        last = { file, bytes };
        start ??= performance.now();
        const seconds = Math.max(performance.now() - start, 1) / 1000;
        const rate = ((bytes - onDisk) / 1e6 / seconds).toFixed(1);
        update(megabytes(bytes), megabytes(totalBytes), { file, rate });
      },
      onNotice,
    });
  });
}

/** @throws CheckpointError, ConfigError, BackendError */
export async function loadModel(dir: string, options: LoadOptions): Promise<CausalLM> {
  await limitThreads(options.threads);
  return withProgressBar('loading the model [{bar}] {percentage}% {eta_formatted} left', (update) =>
    AutoModelForCausalLM.fromPretrained(dir, {
      backend: options.backend,
      dtype: options.dtype,
      lora: options.lora,
      onNotice,
      onProgress: ({ loadedValues, totalValues }) => update(loadedValues, totalValues),
    }),
  );
}

/** Prints a notice if the tokenizer seems to belong to another model. */
export function checkVocabulary(tokenizer: Tokenizer, config: ModelConfig): void {
  const notice = vocabularyNotice(tokenizer, config);
  if (notice !== undefined) onNotice(notice);
}

/** @throws TokenizerError with a hint how to name a tokenizer, HubError */
export async function loadTokenizer(dir: string, tokenizer?: string): Promise<Tokenizer> {
  return Tokenizer.fromFile(await tokenizerPath(dir, tokenizer));
}

/** The path of the tokenizer.json. @throws TokenizerError with a hint how to name a tokenizer, HubError */
export async function tokenizerPath(dir: string, tokenizer?: string): Promise<string> {
  try {
    return await resolveTokenizer(tokenizer ?? dir, { onNotice });
  } catch (error) {
    if (tokenizer !== undefined || !(error instanceof TokenizerError)) throw error;
    throw new TokenizerError(`${error.message} (--tokenizer)`, { cause: error });
  }
}

/** The text of a chat template's file; undefined without one. @throws CheckpointError if it cannot be read */
export async function readChatTemplate(file: string | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : readTextFile(file);
}

/** A model's name in requests: the folder's name for a local one, else the id. */
export async function servedName(model: string): Promise<string> {
  return (await folderExists(model)) ? basename(resolve(model)) : model;
}

/** Prints a notice on stderr. */
export function onNotice(notice: string): void {
  process.stderr.write(`${notice}\n`);
}
