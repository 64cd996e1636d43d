// The options of `rene eval`: those of the harness's own command line, and ours.
import type { WeightFormat } from '@rene-js/layers';
import { type Command, Option } from 'commander';
import type { Seeds } from '../evaluation/seeds.js';
import { formatFrom, LOAD_FORMATS } from './dtype_option.js';
import { addHarnessOptions } from './eval_harness_options.js';
import { batchSize, limit, modelArgs, names, samples, seeds } from './eval_option_values.js';
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
  json: boolean;
}

export function addEval(program: Command): Command {
  const command = program
    .command('eval')
    .description("benchmarks: the model card's tasks, custom tasks, perplexity of a text")
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
    new Option('-a, --model_args <args>', 'key=value,... e.g. pretrained=DIR,dtype=int8').argParser(
      modelArgs,
    ),
    new Option(
      '-t, --tasks <names>',
      'e.g. copa,mmlu,arc_*; all: the eight of the model card; list: what there is; ' +
        'FILE.jsonl: a task of your own',
    ).argParser(names),
    new Option(
      '-f, --num_fewshot <n>',
      "number of few-shot examples (default: each task's own)",
    ).argParser(wholeNumberFrom(0)),
    new Option(
      '--seed <seeds>',
      'one seed, or python,numpy,torch,fewshot; the last one draws the few-shot examples ' +
        '(default: 0,1234,1234,1234)',
    ).argParser(seeds),
    new Option('-b, --batch_size <n>', 'sequences of a forward, or auto')
      .argParser(batchSize)
      .default('auto'),
    new Option('--device <name>', 'as lm-eval has it; --backend chooses where the model runs'),
    new Option(
      '-L, --limit <n>',
      'first n documents of each task, or, below 1, that share of them',
    ).argParser(limit),
    new Option(
      '-E, --samples <json>',
      'indices of documents by task, e.g. {"copa": [0, 2]}, or a file of them',
    )
      .argParser(samples)
      .conflicts('limit'),
    new Option('--system_instruction <text>', "text before each task's description"),
    new Option('-o, --output_path <dir>', 'write results, tables and a chart into this folder'),
    new Option('-s, --log_samples', 'write a line for each document too').default(false),
    new Option('-w, --write_out', "print each task's first prompt").default(false),
    new Option('--show_config', 'print the results file before the tables').default(false),
    new Option('--cache_requests [mode]', 'results of an earlier run: true uses them')
      .choices(['true', 'refresh', 'delete'])
      .preset('true')
      .default('true'),
    new Option(
      '-c, --use_cache <dir>',
      'folder of earlier results (default: ~/.cache/rene/evaluation)',
    ),
    new Option('--docs <file>', "one task's documents: JSONL, JSON, CSV, TSV or Parquet"),
    new Option('--fewshot_docs <file>', 'documents for its few-shot examples'),
    new Option(
      '--data_dir <dir>',
      'folder with TASK.jsonl or TASK/SPLIT.jsonl (or .json, .csv, .parquet), instead of the hub',
    ),
    new Option('--text <file>', 'perplexity of this text, instead of tasks'),
    new Option('--context <n>', 'with --text: least tokens before those scored').argParser(
      wholeNumberFrom(1),
    ),
    new Option('--requests', 'print the requests as JSON lines; no model is needed').default(false),
    new Option('--responses <file>', 'score log-likelihoods from such lines; no model is needed'),
    new Option(
      '--tokenizer <path>',
      "tokenizer.json, a folder with one, or a hub id (default: the model's)",
    ),
    new Option('--backend <name>', 'auto, cpu, simd, tensorflow, or another tfjs backend'),
    new Option(
      '--dtype <format>',
      `dtype of the weights in memory: ${LOAD_FORMATS.join(', ')}`,
    ).argParser(formatFrom(LOAD_FORMATS)),
    new Option('--lora <dir>', 'LoRA adapter, as PEFT saves it: a folder or hub id'),
    new Option(
      '--max_length <n>',
      'maximum number of tokens; longer texts lose their beginning (default: 4096, or what the server takes)',
    ).argParser(wholeNumberFrom(1)),
    new Option('--json', 'print the results as JSON, not as tables').default(false),
  ];
  for (const option of options) command.addOption(option);
  addHarnessOptions(command);
  return command;
}
