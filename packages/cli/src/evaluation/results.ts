// Results and samples of an evaluation in the format of lm-eval's files.
import { createHash } from 'node:crypto';
import { packageVersion } from '@rene-js/rene/internal';
import type { DocumentsOption } from './card_scores.js';
import type { Evaluation, GroupResult, Sample, TaskResult } from './evaluate.js';
import type { Estimate } from './metrics.js';
import { floatRepr, jsonDumps } from './python_text.js';
import { DEFAULT_SEEDS, type Seeds } from './seeds.js';
import { evaluatedSplit, type MetricName } from './task.js';
import { GROUPS } from './tasks/index.js';

/** Metadata of a run. */
export interface RunInfo {
  /** The kind of model, such as 'rene_ssm'. */
  model: string;
  /** --model_args, such as 'pretrained=...,dtype=bf16'. */
  modelArgs: string;
  /** The model's folder or hub id. */
  modelName: string;
  batchSize: number | string;
  /** The tfjs backend. */
  device: string;
  limit: number | null;
  /** Start of the run in seconds since 1970. */
  date: number;
  seconds: number;
  /** Additional fields of `config`, such as model_num_parameters, model_dtype. */
  modelInfo?: Record<string, unknown>;
  maxLength?: number;
  useCache?: string | null;
  /** Seeds of random, NumPy, torch and the few-shot sampler. Only the last one is used. */
  seeds?: Seeds;
  /** System prompt before each task's description. */
  systemInstruction?: string;
  /** Source of the documents, if not the hub. */
  documents?: DocumentsOption;
}

type Json = Record<string, unknown>;

/** The contents of results_<date>.json. */
export function resultsJson({ tasks, groups }: Evaluation, info: RunInfo): Json {
  const groupEntries = groups.map((result): [string, Json] => [
    result.group.name,
    groupResult(result),
  ]);
  const shots = new Map(tasks.map(({ task, numFewshot }) => [task.name, numFewshot]));
  const better = new Map(tasks.map(({ task }) => [task.name, higherIsBetter(task.metrics)]));
  for (const { group } of groups) {
    const member = tasks.find(({ task }) => group.members.includes(task.name));
    if (!member) continue; // a group of groups has no entry
    shots.set(group.name, member.numFewshot);
    better.set(group.name, higherIsBetter(member.task.metrics));
  }
  const versions: [string, number | string][] = [
    ...tasks.map(({ task }): [string, number] => [task.name, task.version]),
    ...groups.map(({ group }): [string, string] => [group.name, group.version]),
  ];
  return {
    results: Object.fromEntries([...tasks.map(taskEntry), ...groupEntries]),
    ...(groups.length > 0 && { groups: Object.fromEntries(groupEntries) }),
    group_subtasks: groupSubtasks(tasks, groups),
    configs: Object.fromEntries(tasks.map((result) => [result.task.name, taskConfig(result)])),
    versions: sorted(versions),
    'n-shot': sorted([...shots]),
    higher_is_better: sorted([...better]),
    'n-samples': Object.fromEntries(
      tasks.map(({ task, originalCount, samples }) => [
        task.name,
        { original: originalCount, effective: samples.length },
      ]),
    ),
    config: runConfig(info),
    git_hash: null,
    date: info.date,
    pretty_env_info:
      `@rene-js/rene ${packageVersion()}, Node.js ${process.version} ` +
      `on ${process.platform} ${process.arch}`,
    // Neither library is used.
    transformers_version: 'N/A',
    lm_eval_version: 'N/A',
    upper_git_hash: null,
    ...(info.maxLength !== undefined && { max_length: info.maxLength }),
    task_hashes: Object.fromEntries(
      tasks.map(({ task, samples }) => [task.name, taskHash(samples)]),
    ),
    model_source: info.model,
    model_name: info.modelName,
    model_name_sanitized: sanitizeName(info.modelName),
    system_instruction: info.systemInstruction ?? null,
    system_instruction_sha:
      info.systemInstruction === undefined ? null : sha256(info.systemInstruction),
    fewshot_as_multiturn: true,
    chat_template: null,
    chat_template_sha: null,
    total_evaluation_time_seconds: String(info.seconds),
  };
}

function taskEntry({ task, samples, estimates }: TaskResult): [string, Json] {
  const { name, alias = name } = task;
  return [name, { name, alias, sample_len: samples.length, ...figures(estimates) }];
}

function groupResult({ group, estimates }: GroupResult): Json {
  const counts = entriesOf(estimates).map(([metric, { count }]) => [`${metric},none`, count]);
  return {
    alias: group.alias,
    name: group.name,
    sample_len: Math.max(0, ...entriesOf(estimates).map(([, { count }]) => count)),
    ...figures(estimates),
    sample_count: Object.fromEntries(counts),
  };
}

function figures(estimates: TaskResult['estimates']): Json {
  return Object.fromEntries(
    entriesOf(estimates).flatMap(([metric, { mean, stderr }]) => [
      [`${metric},none`, mean],
      [`${metric}_stderr,none`, stderr ?? 'N/A'],
    ]),
  );
}

function entriesOf(estimates: TaskResult['estimates']): [string, Estimate][] {
  return Object.entries(estimates);
}

function higherIsBetter(metrics: readonly MetricName[]): Record<string, boolean> {
  return Object.fromEntries(metrics.map((metric) => [metric, true]));
}

/** Outer groups first; of a group's members only those that were run. */
function groupSubtasks(tasks: readonly TaskResult[], groups: readonly GroupResult[]): Json {
  const run = new Set(tasks.map(({ task }) => task.name));
  const isRun = (name: string): boolean =>
    run.has(name) || (GROUPS.get(name)?.members.some(isRun) ?? false);
  const entries = groups.map(({ group }) => [group.name, group.members.filter(isRun)]);
  return Object.fromEntries(entries.toReversed());
}

function taskConfig({ task, numFewshot }: TaskResult): Json {
  const { dataset, templates, description } = task;
  const { decontamination } = templates;
  const reading = {
    doc_to_text: templates.docToText,
    doc_to_choice: templates.docToChoice,
    doc_to_target: templates.docToTarget,
  };
  const delimiters = { target_delimiter: ' ', fewshot_delimiter: '\n\n' };
  return {
    task: task.name,
    ...(task.alias !== undefined && { task_alias: task.alias }),
    dataset_path: dataset.path,
    ...(dataset.name !== null && { dataset_name: dataset.name }),
    ...(dataset.training !== undefined && { training_split: dataset.training }),
    ...(dataset.validation !== undefined && { validation_split: dataset.validation }),
    ...(dataset.test !== undefined && { test_split: dataset.test }),
    ...(dataset.fewshot !== undefined && { fewshot_split: dataset.fewshot }),
    doc_to_text: templates.docToText,
    doc_to_target: templates.docToTarget,
    unsafe_code: false,
    doc_to_choice: templates.docToChoice,
    description,
    ...delimiters,
    fewshot_config: {
      sampler: task.sampler ?? 'default',
      split: dataset.fewshot ?? null,
      process_docs: null,
      fewshot_indices: null,
      samples: null,
      ...reading,
      gen_prefix: null,
      ...delimiters,
    },
    num_fewshot: numFewshot,
    metric_list: task.metrics.map((metric) => ({
      metric,
      aggregation: 'mean',
      higher_is_better: true,
    })),
    output_type: 'multiple_choice',
    repeats: 1,
    should_decontaminate: decontamination !== undefined,
    ...(decontamination !== undefined && { doc_to_decontamination_query: decontamination }),
    metadata: { version: task.version, evaluated_split: evaluatedSplit(dataset) },
  };
}

function runConfig(info: RunInfo): Json {
  const [random, numpy, torch, fewshot] = info.seeds ?? DEFAULT_SEEDS;
  return {
    model: info.model,
    model_args: info.modelArgs,
    ...info.modelInfo,
    batch_size: info.batchSize,
    batch_sizes: [],
    device: info.device,
    use_cache: info.useCache ?? null,
    limit: info.limit,
    // Standard errors are computed in closed form, without bootstrapping.
    bootstrap_iters: 100000,
    gen_kwargs: null,
    random_seed: random,
    numpy_seed: numpy,
    torch_seed: torch,
    fewshot_seed: fewshot,
  };
}

/** A line of samples_<task>_<date>.jsonl. */
export function sampleJson({ task }: TaskResult, sample: Sample): Json {
  const { docId, doc, question, requests, responses, scores } = sample;
  const argumentsOf = requests.map(({ context, continuation }, i) => [
    `gen_args_${i}`,
    { arg_0: context, arg_1: continuation },
  ]);
  const texts = responses.map(({ loglikelihood, isGreedy }) => [
    floatRepr(loglikelihood),
    isGreedy ? 'True' : 'False',
  ]);
  return {
    doc_id: docId,
    doc,
    target: question.target,
    arguments: Object.fromEntries(argumentsOf),
    resps: texts.map((text) => [text]),
    filtered_resps: texts,
    filter: 'none',
    metrics: task.metrics,
    ...hashes(sample),
    ...scores,
  };
}

function hashes({ doc, requests, question }: Sample) {
  return {
    doc_hash: sha256(jsonDumps(doc)),
    prompt_hash: sha256(requests[0]?.context ?? ''),
    target_hash: sha256(question.target),
  };
}

function taskHash(samples: readonly Sample[]): string {
  const texts = samples.map((sample) => Object.values(hashes(sample)).join(''));
  return sha256(texts.join(''));
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A model's name as a folder name. */
export function sanitizeName(name: string): string {
  return name.replace(/["<>:/|\\?*[\]]+/g, '__');
}

function sorted<T>(entries: readonly [string, T][]): Record<string, T> {
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
