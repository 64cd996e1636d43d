// `rene eval [model] --tasks ...`: the model card's benchmarks, a task of one's own, perplexity.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { isOnCard } from '../evaluation/card_scores.js';
import { type CustomTask, readCustomTask, withCustomTasks } from '../evaluation/custom_task.js';
import { type DocSource, fileDocs, folderDocs } from '../evaluation/data/documents.js';
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
import { type Group, type Selection, selectTasks } from '../evaluation/tasks/index.js';
import { Tokenizer } from '../tokenizer.js';
import { type LoadedEvalModel, loadEvalModel } from './eval_models.js';
import { addEvalOptions, chooseModel, type EvalOptions } from './eval_options.js';
import { runPerplexity } from './eval_perplexity.js';
import { INTERRUPTED, type Interrupt, onInterrupt } from './interrupt.js';
import { withProgressBar } from './progress_bar.js';
import { UsageError } from './report_error.js';

export function addEval(program: Command): void {
  const command = program
    .command('eval')
    .description("benchmarks: the model card's tasks, a task of your own, perplexity of a text")
    .argument('[model]', 'model folder or hub id (default: rene-tiny, which is included)');
  addEvalOptions(command).action(run);
}

async function run(argument: string | undefined, options: EvalOptions): Promise<void> {
  const interrupt = onInterrupt();
  if (options.text !== undefined) {
    await withModel(argument, options, interrupt, (loaded, cache) =>
      runPerplexity(loaded.model, options, { cache, signal: interrupt.signal }),
    );
    return;
  }
  const { selection, source } = await chooseTasks(options);
  if (options.requests) await printRequests(selection, source, options);
  else if (options.responses !== undefined) await scoreResponses(selection, source, options);
  else {
    // What is wrong with the documents is said before a large model is loaded.
    const tasks = await loadTasks(selection, source, options);
    await withModel(argument, options, interrupt, (loaded, cache) =>
      measure(loaded, tasks, selection.groups, { cache, signal: interrupt.signal }, options),
    );
  }
}

/** The tasks that were named, and where their documents come from. @throws UsageError */
async function chooseTasks(
  options: EvalOptions,
): Promise<{ selection: Selection; source: DocSource | undefined }> {
  const { tasks = [], docs, fewshot_docs, data_dir } = options;
  if (tasks.length === 0) {
    throw new UsageError('expected --tasks, e.g. --tasks copa,piqa or --tasks all');
  }
  const customs: CustomTask[] = [];
  for (const path of tasks.filter(isFile)) customs.push(await readCustomTask(path));
  const names = [...tasks.filter((t) => !isFile(t)), ...customs.map(({ task }) => task.name)];
  const selection = selectTasks(
    names,
    customs.map(({ task }) => task),
  );
  if (docs !== undefined && selection.tasks.length !== 1) {
    throw new UsageError(`--docs goes with one task, found ${selection.tasks.length}`);
  }
  const given =
    docs !== undefined
      ? fileDocs(docs, fewshot_docs)
      : data_dir !== undefined
        ? folderDocs(data_dir)
        : undefined;
  // Without any of these the answers' own lines may still do; else the hub is asked.
  const source = customs.length > 0 ? withCustomTasks(customs, given ?? (await hub())) : given;
  return { selection, source };
}

function isFile(task: string): boolean {
  return /\.jsonl?$/.test(task);
}

async function hub(): Promise<DocSource> {
  const { hubDocs } = await import('../evaluation/data/hub_docs.js');
  return {
    load: (task, withExamples) =>
      withProgressBar('{file} [{bar}] {percentage}%', (update) =>
        hubDocs({
          onProgress: (file, bytes, total) => update(bytes, total, { file }),
        }).load(task, withExamples),
      ),
  };
}

async function loadTasks(
  { tasks }: Selection,
  source: DocSource | undefined,
  { num_fewshot: numFewshot, limit }: EvalOptions,
): Promise<LoadedTask[]> {
  const loaded: LoadedTask[] = [];
  const from = source ?? (await hub());
  for (const task of tasks) loaded.push(await loadTask(task, { source: from, numFewshot, limit }));
  return loaded;
}

async function printRequests(
  selection: Selection,
  source: DocSource | undefined,
  options: EvalOptions,
): Promise<void> {
  const { tokenizer } = options;
  const encoder = tokenizer === undefined ? undefined : await Tokenizer.fromPretrained(tokenizer);
  for (const loaded of await loadTasks(selection, source, options)) {
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

/** Waits while the reader is slower than we are. */
async function print(text: string): Promise<void> {
  if (process.stdout.write(text)) return;
  await new Promise((resolve) => process.stdout.once('drain', resolve));
}

async function scoreResponses(
  { tasks, groups }: Selection,
  source: DocSource | undefined,
  options: EvalOptions,
): Promise<void> {
  const { responses: path = '', num_fewshot, limit } = options;
  const begin = Date.now();
  const lines = await readRecords(path);
  const results = [];
  for (const task of tasks) {
    const known = source && (await loadTask(task, { source, numFewshot: num_fewshot, limit }));
    const { loaded, responses } = readResponses(lines, task, known);
    const numFewshot = num_fewshot ?? task.numFewshot;
    results.push(scoreTask({ ...loaded, numFewshot }, responses));
  }
  const evaluation = { tasks: results, groups: scoreGroups(results, groups) };
  await report(evaluation, runInfo('responses', path, options, begin), options);
}

/** Loads the model, opens its cache of results, and tells what is kept when Ctrl-C ends it. */
async function withModel(
  argument: string | undefined,
  options: EvalOptions,
  interrupt: Interrupt,
  use: (loaded: LoadedEvalModel, cache: ResultCache) => Promise<void>,
): Promise<void> {
  const loaded = await loadEvalModel(chooseModel(argument, options), options);
  const path = join(options.use_cache ?? defaultCacheDir(), `${loaded.hash}.results`);
  if (options.cache_requests !== 'true') rmSync(path, { force: true });
  const cache = new ResultCache(path);
  interrupt.catch();
  try {
    await use(loaded, cache);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    process.exitCode = INTERRUPTED;
    process.stderr.write(
      `interrupted; ${cache.size} results are kept, and the same command continues from them\n`,
    );
  } finally {
    cache.close();
    loaded.dispose();
  }
  if (options.cache_requests === 'delete') rmSync(path, { force: true });
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
  const { model_args = { pretrained: name }, batch_size, limit, use_cache } = options;
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
    ...documentsOption(options),
  };
}

function documentsOption({ docs, data_dir, responses }: EvalOptions): Pick<RunInfo, 'documents'> {
  if (docs !== undefined) return { documents: '--docs' };
  if (data_dir !== undefined) return { documents: '--data_dir' };
  return responses === undefined ? {} : { documents: '--responses' };
}

async function report(
  evaluation: Evaluation,
  info: RunInfo,
  { output_path, log_samples, json }: EvalOptions,
): Promise<void> {
  if (json) await print(`${JSON.stringify(resultsJson(evaluation, info), null, 2)}\n`);
  else {
    await print(resultsTable(evaluation));
    if (isOnCard(evaluation))
      await print(`\n${cardTable(evaluation, info.modelName, info.documents)}`);
  }
  if (output_path === undefined) return;
  const paths = await writeEvaluation(evaluation, info, {
    outputPath: output_path,
    logSamples: log_samples,
  });
  for (const path of paths) process.stderr.write(`wrote ${path}\n`);
}
