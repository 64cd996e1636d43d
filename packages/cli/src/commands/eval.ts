// `rene eval [model] --tasks ...`: the model card's benchmarks, custom tasks, perplexity of a text.
import { accessSync, constants, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@rene-js/rene';
import { fileError, makeFolder } from '@rene-js/rene/internal';
import type { Command } from 'commander';
import { isOnCard } from '../evaluation/card_scores.js';
import {
  type EvaluateOptions,
  type Evaluation,
  evaluateLoaded,
  type LoadedTask,
  loadTask,
  scoreGroups,
  scoreTask,
} from '../evaluation/evaluate.js';
import { readRecords } from '../evaluation/jsonl.js';
import { defaultCacheDir } from '../evaluation/model_hash.js';
import { writeEvaluation } from '../evaluation/output_files.js';
import { cardTable } from '../evaluation/report.js';
import { readResponses, requestLines } from '../evaluation/request_file.js';
import { ResultCache } from '../evaluation/result_cache.js';
import { type RunInfo, resultsJson } from '../evaluation/results.js';
import { resultsTable } from '../evaluation/results_table.js';
import { LISTS, taskList } from '../evaluation/task_list.js';
import { type Group, namesTask } from '../evaluation/tasks/index.js';
import { refuseUnavailable } from './eval_harness_options.js';
import { chooseModel, type ModelChoice } from './eval_model_choice.js';
import { type LoadedEvalModel, loadEvalModel } from './eval_models.js';
import { modelArgs } from './eval_option_values.js';
import type { EvalOptions } from './eval_options.js';
import { runPerplexity } from './eval_perplexity.js';
import { type ChosenTasks, chooseTasks, isFile, loadOptions, loadTasks } from './eval_tasks.js';
import { INTERRUPTED, type Interrupt, onInterrupt } from './interrupt.js';
import { onNotice } from './load.js';
import { withProgressBar } from './progress_bar.js';
import { UsageError } from './report_error.js';

export async function runEval(given: EvalOptions, command: Command): Promise<void> {
  refuseUnavailable(command);
  const { models, options } = sortOperands(command.args, given);
  const list = LISTS.find((name) => options.tasks?.includes(name));
  if (list) {
    await print(taskList(list));
    return;
  }
  if (options.log_samples && options.output_path === undefined) {
    throw new UsageError('--log_samples: expected --output_path DIR with it, found none');
  }
  const choice = chooseModel(models, options);
  const interrupt = onInterrupt();
  if (options.text !== undefined) {
    await withModel(choice, options, interrupt, (loaded, cache) =>
      runPerplexity(loaded.model, options, { cache, signal: interrupt.signal }),
    );
    return;
  }
  const chosen = await chooseTasks(options);
  if (options.requests) await printRequests(chosen, options);
  else if (options.responses !== undefined) await scoreResponses(chosen, options);
  else {
    // Report errors in the documents before loading a large model.
    const tasks = await loadTasks(chosen, options);
    checkOutputPath(options.output_path);
    const { groups } = chosen.selection;
    await withModel(choice, options, interrupt, (loaded, cache) =>
      measure(loaded, tasks, groups, { cache, signal: interrupt.signal }, options),
    );
  }
}

/** lm-eval also accepts tasks and model_args separated by spaces: --tasks copa piqa. */
function sortOperands(
  operands: readonly string[],
  options: EvalOptions,
): { models: string[]; options: EvalOptions } {
  const models: string[] = [];
  let { tasks, model_args: args } = options;
  for (const operand of operands) {
    if (tasks && (isFile(operand) || namesTask(operand))) tasks = [...tasks, operand];
    else if (args && /^\w+=/.test(operand)) args = modelArgs(operand, args);
    else models.push(operand);
  }
  return {
    models,
    options: { ...options, ...(tasks && { tasks }), ...(args && { model_args: args }) },
  };
}

async function printRequests(chosen: ChosenTasks, options: EvalOptions): Promise<void> {
  const { tokenizer } = options;
  const encoder = tokenizer === undefined ? undefined : await Tokenizer.fromPretrained(tokenizer);
  for (const loaded of await loadTasks(chosen, options)) {
    const lines = requestLines(
      loaded,
      encoder && {
        prefixTokenId: encoder.eosTokenId ?? 0,
        tokenize: (text) => encoder.encode(text),
      },
    );
    for await (const line of lines) await print(`${JSON.stringify(line)}\n`);
  }
}

/** Waits while the reader is slower than the writer. */
async function print(text: string): Promise<void> {
  if (process.stdout.write(text)) return;
  await new Promise((resolve) => process.stdout.once('drain', resolve));
}

async function scoreResponses(
  { selection: { tasks, groups }, source }: ChosenTasks,
  options: EvalOptions,
): Promise<void> {
  const { responses: path = '', num_fewshot } = options;
  const begin = Date.now();
  const lines = await readRecords(path);
  const results = [];
  const loading = source && (await loadOptions(source, options));
  for (const task of tasks) {
    const known = loading && (await loadTask(task, loading));
    const { loaded, responses } = readResponses(lines, task, known);
    const numFewshot = num_fewshot ?? task.numFewshot;
    results.push(scoreTask({ ...loaded, numFewshot }, responses));
  }
  const evaluation = { tasks: results, groups: scoreGroups(results, groups) };
  await report(evaluation, runInfo('responses', path, options, begin), options);
}

/** Loads the model and opens its results cache. Ctrl-C then prints what is kept. */
async function withModel(
  choice: ModelChoice,
  options: EvalOptions,
  interrupt: Interrupt,
  use: (loaded: LoadedEvalModel, cache: ResultCache) => Promise<void>,
): Promise<void> {
  const loaded = await loadEvalModel(choice, options);
  const path = join(options.use_cache ?? defaultCacheDir(), `${loaded.hash}.results`);
  if (options.cache_requests !== 'true') removeResults(path);
  const cache = new ResultCache(path, onNotice);
  interrupt.catch();
  try {
    await use(loaded, cache);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    process.exitCode = INTERRUPTED;
    const kept = `${cache.size} results are saved; run the same command again to continue`;
    process.stderr.write(`interrupted; ${cache.isKept ? kept : 'no results are saved'}\n`);
  } finally {
    cache.close();
    loaded.dispose();
  }
  if (options.cache_requests === 'delete') removeResults(path);
}

function removeResults(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw fileError(path, 'removed', error);
  }
}

async function measure(
  loaded: LoadedEvalModel,
  tasks: readonly LoadedTask[],
  groups: readonly Group[],
  evaluateOptions: EvaluateOptions,
  options: EvalOptions,
): Promise<void> {
  const begin = Date.now();
  const evaluation = await withProgressBar(
    '{task} {done} [{bar}] {percentage}% {eta_formatted} left',
    (update) =>
      evaluateLoaded(loaded.model, tasks, groups, {
        ...evaluateOptions,
        onProgress: ({ task, done, total, share }) =>
          update(share * 1000, 1000, { task, done: `${done}/${total}` }),
      }),
  );
  const info = runInfo(loaded.kind, loaded.name, options, begin);
  const { modelInfo, device, batchSize } = loaded;
  const { maxLength } = loaded.model;
  await report(evaluation, { ...info, modelInfo, device, batchSize, maxLength }, options);
}

function runInfo(kind: string, name: string, options: EvalOptions, begin: number): RunInfo {
  const { model_args = { pretrained: name }, batch_size, limit, use_cache, seed } = options;
  return {
    model: kind,
    modelArgs: Object.entries(model_args)
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
    modelName: name,
    batchSize: batch_size,
    device: 'none',
    limit: limit ?? null,
    date: begin / 1000,
    seconds: (Date.now() - begin) / 1000,
    useCache: use_cache ?? null,
    ...(seed && { seeds: seed }),
    ...(options.system_instruction !== undefined && {
      systemInstruction: options.system_instruction,
    }),
    ...documentsOption(options),
  };
}

function documentsOption({ docs, data_dir, responses }: EvalOptions): Pick<RunInfo, 'documents'> {
  if (docs !== undefined) return { documents: '--docs' };
  if (data_dir !== undefined) return { documents: '--data_dir' };
  return responses === undefined ? {} : { documents: '--responses' };
}

/** Write files first: standard output may be closed early. */
async function report(evaluation: Evaluation, info: RunInfo, options: EvalOptions): Promise<void> {
  const { output_path, log_samples, show_config, json, num_fewshot } = options;
  if (json || show_config) {
    await print(`${JSON.stringify(resultsJson(evaluation, info), null, 2)}\n`);
  }
  if (!json) await printTables(evaluation, info, num_fewshot);
  // Last, so that the tables are printed if the disk is full.
  if (output_path === undefined) return;
  const paths = await writeEvaluation(evaluation, info, {
    outputPath: output_path,
    logSamples: log_samples,
  });
  for (const path of paths) process.stderr.write(`wrote ${path}\n`);
}

/** Checks that the results can be written, before the evaluation. @throws FileError */
function checkOutputPath(path: string | undefined): void {
  if (path === undefined) return;
  try {
    makeFolder(path);
    accessSync(path, constants.W_OK);
  } catch (error) {
    throw fileError(path, 'written', error);
  }
}

async function printTables(
  evaluation: Evaluation,
  info: RunInfo,
  numFewshot: number | undefined,
): Promise<void> {
  const { model, modelArgs: args, limit, batchSize } = info;
  await print(
    `${model} (${args}), gen_kwargs: (None), limit: ${limit ?? 'None'}, ` +
      `num_fewshot: ${numFewshot ?? 'None'}, batch_size: ${batchSize}\n`,
  );
  await print(resultsTable(evaluation));
  if (isOnCard(evaluation)) {
    await print(`\n${cardTable(evaluation, info.modelName, info.documents)}`);
  }
}
