// Loads the tasks that `rene eval` runs, their documents and their requests.
import { randomInt } from 'node:crypto';
import { type CustomTask, readCustomTask, withCustomTasks } from '../evaluation/custom_task.js';
import { type DocSource, fileDocs, folderDocs } from '../evaluation/data/documents.js';
import { EvaluationError } from '../evaluation/errors.js';
import { type LoadedTask, type LoadOptions, loadTask } from '../evaluation/evaluate.js';
import { type Selection, selectTasks } from '../evaluation/tasks/index.js';
import type { EvalOptions } from './eval_options.js';
import { withProgressBar } from './progress_bar.js';
import { UsageError } from './report_error.js';

/** The task options on the command line. */
export interface ChosenTasks {
  selection: Selection;
  /** Undefined if neither was given: then the hub, unless the request lines contain the documents. */
  source: DocSource | undefined;
}

/** @throws UsageError */
export async function chooseTasks(options: EvalOptions): Promise<ChosenTasks> {
  const { tasks = [], docs, fewshot_docs, data_dir } = options;
  if (tasks.length === 0) {
    throw new UsageError('expected --tasks, e.g. --tasks copa,piqa or --tasks all');
  }
  const yaml = tasks.find((task) => /\.ya?ml$/i.test(task));
  if (yaml !== undefined) {
    throw new UsageError(
      `--tasks: expected task names or FILE.jsonl, found ${yaml}; tasks in YAML are not available here`,
    );
  }
  const customs: CustomTask[] = [];
  for (const path of tasks.filter(isFile)) customs.push(await readCustomTask(path));
  const names = [...tasks.filter((t) => !isFile(t)), ...customs.map(({ task }) => task.name)];
  const selection = selected(names, customs);
  if (docs !== undefined && selection.tasks.length !== 1) {
    throw new UsageError(`--docs: expected one task with it, found ${selection.tasks.length}`);
  }
  if (docs !== undefined && data_dir !== undefined) {
    throw new UsageError('expected --docs or --data_dir, found both');
  }
  if (fewshot_docs !== undefined && docs === undefined) {
    throw new UsageError('--fewshot_docs: expected --docs with it, found none');
  }
  checkSamples(options, selection);
  const given =
    docs !== undefined
      ? fileDocs(docs, fewshot_docs)
      : data_dir !== undefined
        ? folderDocs(data_dir)
        : undefined;
  const source = customs.length > 0 ? withCustomTasks(customs, given ?? (await hub())) : given;
  return { selection, source };
}

/** @throws UsageError for an unknown task */
function selected(names: readonly string[], customs: readonly CustomTask[]): Selection {
  try {
    return selectTasks(
      names,
      customs.map(({ task }) => task),
    );
  } catch (error) {
    if (!(error instanceof EvaluationError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

/** Whether a task name is the path of a custom task. */
export function isFile(task: string): boolean {
  return /\.jsonl?$/.test(task);
}

function checkSamples({ samples }: EvalOptions, { tasks }: Selection): void {
  const known = tasks.map(({ name }) => name);
  const unknown = [...(samples?.keys() ?? [])].find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new UsageError(`--samples: expected tasks of --tasks, found ${unknown}`);
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

/** The options of loadTask. */
export async function loadOptions(
  source: DocSource | undefined,
  options: EvalOptions,
): Promise<LoadOptions> {
  const { num_fewshot, limit, samples, seed, system_instruction } = options;
  return {
    source: source ?? (await hub()),
    numFewshot: num_fewshot,
    // 'None' is a valid seed: it draws other examples each time.
    fewshotSeed: seed?.[3] === null ? randomInt(2 ** 47) : seed?.[3],
    systemInstruction: system_instruction,
    limit,
    samples,
  };
}

/** @throws EvaluationError for missing or invalid documents */
export async function loadTasks(
  { selection, source }: ChosenTasks,
  options: EvalOptions,
): Promise<LoadedTask[]> {
  const loading = await loadOptions(source, options);
  const loaded: LoadedTask[] = [];
  for (const task of selection.tasks) loaded.push(await loadTask(task, loading));
  if (options.write_out) for (const task of loaded) writeOut(task);
  return loaded;
}

/** Prints the first prompt of a task, in lm-eval's format. */
function writeOut({ task, examples }: LoadedTask): void {
  const [first] = examples;
  if (!first) return;
  process.stderr.write(
    `Task: ${task.name}; document ${first.docId}; context prompt (starting on next line):\n` +
      `${first.requests[0]?.context}\n(end of prompt on previous line)\n` +
      'target string or answer choice index (starting on next line):\n' +
      `${first.question.target}\n(end of target on previous line)\n`,
  );
}
