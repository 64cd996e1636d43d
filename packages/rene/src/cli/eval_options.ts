// The options of `rene eval`: those of the harness's own command line, and ours.
import { type WeightFormat, InvalidArgumentError as WrongArgumentError } from '@rene-js/layers';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { weightFormatOrAuto } from '../dtype_names.js';
import { formatFrom, LOAD_FORMATS } from './dtype_option.js';
import { number, wholeNumber, wholeNumberFrom } from './numbers.js';
import { UsageError } from './report_error.js';

export interface EvalOptions {
  model?: string;
  model_args?: Record<string, string>;
  tasks?: string[];
  num_fewshot?: number;
  batch_size: number | 'auto';
  limit?: number;
  output_path?: string;
  log_samples: boolean;
  cache_requests: 'true' | 'refresh' | 'delete';
  use_cache?: string;
  docs?: string;
  fewshot_docs?: string;
  data_dir?: string;
  text?: string;
  context?: number;
  requests: boolean;
  responses?: string;
  tokenizer?: string;
  backend?: string;
  dtype?: 'auto' | WeightFormat;
  lora?: string;
  max_length?: number;
  json: boolean;
}

export function addEvalOptions(command: Command): Command {
  const options = [
    new Option(
      '--model <kind>',
      'rene_ssm (the default), local-completions, transformers.js; or a model folder or hub id',
    ),
    new Option('--model_args <args>', 'key=value,... e.g. pretrained=DIR,dtype=int8').argParser(
      modelArgs,
    ),
    new Option(
      '--tasks <names>',
      'e.g. copa,mmlu,arc_*; all for the eight of the model card; or FILE.jsonl, a task of your own',
    ).argParser((text: string, before: string[] = []) => [...before, ...split(text)]),
    new Option('--num_fewshot <n>', "examples before each question; the task's own").argParser(
      wholeNumberFrom(0),
    ),
    new Option('--batch_size <n>', 'rows of a forward, or auto')
      .argParser(batchSize)
      .default('auto'),
    new Option('--limit <n>', 'first n documents of each task, or below 1 a share').argParser(
      limit,
    ),
    new Option('--output_path <dir>', 'write results, tables and a chart into this folder'),
    new Option('--log_samples', 'write a line for each document too').default(false),
    new Option('--cache_requests <mode>', 'results of an earlier run: true uses them')
      .choices(['true', 'refresh', 'delete'])
      .default('true'),
    new Option('--use_cache <dir>', 'where results are kept (default: ~/.cache/rene/evaluation)'),
    new Option('--docs <file>', 'JSONL documents of the one task, instead of the hub'),
    new Option('--fewshot_docs <file>', 'JSONL documents for its examples'),
    new Option(
      '--data_dir <dir>',
      'folder with TASK.jsonl or TASK/SPLIT.jsonl, instead of the hub',
    ),
    new Option('--text <file>', 'perplexity of this text, instead of tasks'),
    new Option('--context <n>', 'with --text: least tokens before those scored').argParser(
      wholeNumberFrom(1),
    ),
    new Option('--requests', 'print the requests as JSON lines; no model is needed').default(false),
    new Option('--responses <file>', 'score log-likelihoods from such lines; likewise'),
    new Option('--tokenizer <path>', "tokenizer.json, a folder with one, or hub id; the model's"),
    new Option('--backend <name>', 'auto, cpu, simd, tensorflow, or another tfjs backend'),
    new Option(
      '--dtype <format>',
      `dtype of the weights in memory: ${LOAD_FORMATS.join(', ')}`,
    ).argParser(formatFrom(LOAD_FORMATS)),
    new Option('--lora <dir>', 'LoRA adapter, as PEFT saves it: a folder or hub id'),
    new Option(
      '--max_length <n>',
      'longer texts lose their beginning; 4096, or what the server takes',
    ).argParser(wholeNumberFrom(1)),
    new Option('--json', 'print the results as JSON, not as tables').default(false),
  ];
  for (const option of options) command.addOption(option);
  acceptDashes(command, options);
  acceptIgnored(command);
  return command;
}

/** The harness spells its options with underscores; ours may be used with dashes as well. */
function acceptDashes(command: Command, options: readonly Option[]): void {
  for (const option of options) {
    const name = option.name();
    if (!name.includes('_')) continue;
    const flags = option.flags.replace(name, name.replaceAll('_', '-'));
    const alias = new Option(flags).hideHelp();
    if (option.parseArg) alias.argParser(option.parseArg);
    if (option.argChoices) alias.choices(option.argChoices);
    command.addOption(alias);
    command.on(`option:${alias.name()}`, () => {
      const value: unknown = command.getOptionValue(alias.attributeName());
      command.setOptionValueWithSource(option.attributeName(), value, 'cli');
    });
  }
}

/** Options of the harness that mean nothing here, so that its commands run as they are printed. */
function acceptIgnored(command: Command): void {
  for (const flags of [
    '--trust_remote_code [value]',
    '--device <name>',
    '--max_batch_size <n>',
    '--seed <values>',
    '--verbosity <level>',
    '--confirm_run_unsafe_code',
  ]) {
    command.addOption(new Option(flags, 'accepted and ignored').hideHelp());
  }
}

function modelArgs(text: string): Record<string, string> {
  const entries = split(text).map((pair): [string, string] => {
    const at = pair.indexOf('=');
    if (at < 1) throw new InvalidArgumentError(`Expected key=value, found '${pair}'.`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
  return Object.fromEntries(entries);
}

function split(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** The harness's auto:M looks for a better size M times; ours is right the first time. */
function batchSize(text: string): number | 'auto' {
  if (/^auto(:\d+)?$/.test(text)) return 'auto';
  const size = wholeNumber(text);
  if (size >= 1) return size;
  throw new InvalidArgumentError('It must be 1 or more, or auto.');
}

function limit(text: string): number {
  const value = number(text);
  if (value > 0 && (value < 1 || Number.isInteger(value))) return value;
  throw new InvalidArgumentError('It must be a whole number from 1, or a share below 1.');
}

/** Names of a model's kind. Anything else after --model is a model itself. */
export type ModelKind = 'rene_ssm' | 'local-completions' | 'transformers.js';

export interface ModelChoice {
  kind: ModelKind;
  /** Folder or hub id; undefined for the included model. */
  name: string | undefined;
  args: Readonly<Record<string, string>>;
}

/** @param argument the model after `rene eval`, if any. @throws UsageError */
export function chooseModel(argument: string | undefined, options: EvalOptions): ModelChoice {
  const { model, model_args: args = {} } = options;
  const kind = kinds[model ?? 'rene_ssm'];
  const names = [argument, kind ? undefined : model, args.pretrained ?? args.model].filter(
    (name) => name !== undefined,
  );
  if (new Set(names).size > 1) {
    throw new UsageError(`expected one model, found ${names.join(' and ')}`);
  }
  return { kind: kind ?? 'rene_ssm', name: names[0], args };
}

const kinds: Readonly<Record<string, ModelKind | undefined>> = {
  rene_ssm: 'rene_ssm',
  rene: 'rene_ssm',
  'local-completions': 'local-completions',
  'openai-completions': 'local-completions',
  'transformers.js': 'transformers.js',
};

/** --dtype, or dtype= of --model_args in the harness's words or ours. @throws UsageError */
export function chosenDtype(
  { dtype }: EvalOptions,
  args: ModelChoice['args'],
): EvalOptions['dtype'] {
  if (dtype !== undefined || args.dtype === undefined) return dtype;
  try {
    return weightFormatOrAuto(args.dtype);
  } catch (error) {
    if (!(error instanceof WrongArgumentError)) throw error;
    throw new UsageError(`--model_args: ${error.message}`);
  }
}
