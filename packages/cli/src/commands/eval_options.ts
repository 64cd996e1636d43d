// The options of `rene eval`: lm-eval's and ours.
import type { WeightFormat } from '@rene-js/layers';
import { type Command, Option } from 'commander';
import type { Seeds } from '../evaluation/seeds.js';
import { backendOption } from './backend_option.js';
import { formatFrom, LOAD_FORMATS } from './dtype_option.js';
import { addHarnessOptions } from './eval_harness_options.js';
import { batchSize, limit, modelArgs, names, samples, seeds } from './eval_option_values.js';
import { addPrefixCacheDirOptions } from './model_options.js';
import { wholeNumberFrom } from './numbers.js';

export interface EvalOptions {
  model?: string;
  model_args?: Record<string, string>;
  tasks?: string[];
  num_fewshot?: number;
  batch_size: number | 'auto';
  device?: string;
  limit?: number;
  samples?: ReadonlyMap<string, readonly number[]>;
  seed?: Seeds;
  system_instruction?: string;
  output_path?: string;
  log_samples: boolean;
  write_out: boolean;
  show_config: boolean;
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
  queue?: string;
  prefixCacheDir?: string;
  prefixCacheDirBytes?: number;
  json: boolean;
}

export function addEval(program: Command): Command {
  const command = program
    .command('eval')
    .description('evaluate a model on benchmark tasks, custom tasks or the perplexity of a text')
    .argument('[model]', 'model folder or hub id (default: rene-tiny, which is included)')
    .allowExcessArguments();
  return addEvalOptions(command);
}

export function addEvalOptions(command: Command): Command {
  const options = [
    new Option(
      '-m, --model <kind>',
      'rene_ssm (or hf), local-completions or transformers.js; or a model folder or hub id ' +
        '(default: rene_ssm)',
    ),
    new Option(
      '-a, --model_args <args>',
      'arguments of the model: key=value,..., e.g. pretrained=DIR,dtype=int8',
    ).argParser(modelArgs),
    new Option(
      '-t, --tasks <names>',
      "comma-separated tasks, e.g. copa,mmlu,arc_*; all: the model card's eight tasks; " +
        'list: print all names; FILE.jsonl: a custom task',
    ).argParser(names),
    new Option(
      '-f, --num_fewshot <n>',
      "number of few-shot examples (default: the task's)",
    ).argParser(wholeNumberFrom(0)),
    new Option(
      '--seed <seeds>',
      'one seed, or four: python,numpy,torch,fewshot; the last one selects the few-shot examples ' +
        '(default: 0,1234,1234,1234)',
    ).argParser(seeds),
    new Option('-b, --batch_size <n>', 'batch size, or auto').argParser(batchSize).default('auto'),
    new Option(
      '--device <name>',
      "ignored; accepted because it is lm-eval's option: --backend selects where the model runs",
    ),
    new Option(
      '-L, --limit <n>',
      'evaluate only the first n documents of each task; below 1: a fraction of them',
    ).argParser(limit),
    new Option(
      '-E, --samples <json>',
      'indices of documents by task, e.g. {"copa": [0, 2]}, or a JSON file with them',
    )
      .argParser(samples)
      .conflicts('limit'),
    new Option('--system_instruction <text>', "system prompt before each task's description"),
    new Option('-o, --output_path <dir>', 'write results, tables and a chart into this folder'),
    new Option('-s, --log_samples', 'also write one line per document').default(false),
    new Option('-w, --write_out', "print each task's first prompt").default(false),
    new Option('--show_config', 'print the results file before the tables').default(false),
    new Option(
      '--cache_requests [mode]',
      'use, recompute or delete the cached results of earlier runs',
    )
      .choices(['true', 'refresh', 'delete'])
      .preset('true')
      .default('true'),
    new Option(
      '-c, --use_cache <dir>',
      'folder of cached results (default: ~/.cache/rene/evaluation)',
    ),
    new Option('--docs <file>', 'documents of a single task: JSONL, JSON, CSV, TSV or Parquet'),
    new Option('--fewshot_docs <file>', 'with --docs: documents for the few-shot examples'),
    new Option(
      '--data_dir <dir>',
      'folder with TASK.jsonl or TASK/SPLIT.jsonl (or .json, .csv, .parquet), instead of the hub',
    ),
    new Option('--text <file>', 'compute the perplexity of this text instead of tasks'),
    new Option(
      '--context <n>',
      'with --text: minimum number of context tokens per window (default: 1)',
    ).argParser(wholeNumberFrom(1)),
    new Option('--requests', 'print the requests as JSON lines instead of running a model').default(
      false,
    ),
    new Option(
      '--responses <file>',
      'compute scores from a file of --requests lines with log-likelihoods',
    ),
    new Option(
      '--tokenizer <path>',
      "tokenizer.json, a folder with one, or a hub id (default: the model's)",
    ),
    backendOption(),
    new Option(
      '--dtype <format>',
      `dtype of the weights in memory: ${LOAD_FORMATS.join(', ')}`,
    ).argParser(formatFrom(LOAD_FORMATS)),
    new Option('--lora <dir>', 'PEFT LoRA adapter, applied at load: folder or hub id'),
    new Option(
      '--max_length <n>',
      "maximum number of tokens; longer texts are truncated on the left (default: 4096, or the server's limit)",
    ).argParser(wholeNumberFrom(1)),
    new Option(
      '--queue <url>',
      'Redis or Valkey whose workers (rene worker) run the model: redis://HOST:PORT',
    ),
    new Option('--json', 'print the results as JSON').default(false),
  ];
  for (const option of options) command.addOption(option);
  addPrefixCacheDirOptions(command);
  addHarnessOptions(command);
  return command;
}
