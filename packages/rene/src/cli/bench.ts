// `rene bench`: speed and memory of a model on this machine, each dtype in a process of its own.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { useBackend, type WeightFormat } from '@rene-js/layers';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { benchModel, measure, seconds } from '../bench/measure.js';
import { benchChart, benchTable } from '../bench/report.js';
import { writeFileAtomically } from '../checkpoint/node_files.js';
import { type ReneConfig, reneConfig1_3B } from '../config.js';
import { ReneError } from '../errors.js';
import { ReneLMHeadModel } from '../model.js';
import { tinyConfig } from '../training/tiny_config.js';
import { addModelOptions, modelFolder } from './load.js';
import { wholeNumber } from './numbers.js';

interface Options {
  model?: string;
  randomWeights?: string;
  backend: string;
  dtype: WeightFormat[];
  prompt: number;
  tokens: number;
  batch: number;
  json: boolean;
  chart?: string;
}

const formats: WeightFormat[] = ['f32', 'bf16', 'int8', 'int4'];

const sizes: Record<string, () => ReneConfig> = {
  '1.3b': () => reneConfig1_3B,
  tiny: () => tinyConfig(2048),
};

export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .description('load, prefill and decode speed, memory, and the share of the memory bandwidth');
  addModelOptions(command)
    .addOption(
      new Option('--random-weights <size>', 'no file: random weights of this size')
        .choices(Object.keys(sizes))
        .conflicts('model'),
    )
    .option('--backend <name>', 'auto, cpu, simd, tensorflow, or another tfjs backend', 'auto')
    .addOption(
      new Option('--dtype <formats...>', 'weights held as; each is measured in turn')
        .choices(formats)
        .default(['bf16', 'int8', 'int4']),
    )
    .option('--prompt <tokens>', 'length of the prompt', count, 512)
    .option('--tokens <count>', 'decoded tokens; the median time of one counts', count, 64)
    .option('--batch <rows>', 'prompts at a time', count, 1)
    .option('--json', 'one JSON object a dtype', false)
    .option('--chart <file.svg>', 'also draw the decode speeds')
    .action(run);
}

async function run(options: Options): Promise<void> {
  const [dtype] = options.dtype;
  if (dtype && options.dtype.length === 1) {
    const result = await measureHere(options, dtype);
    if (options.json) console.log(JSON.stringify(result));
    else for (const line of benchTable([result])) console.log(line);
    await drawChart(options, [result]);
    return;
  }
  const results = [];
  for (const format of options.dtype) {
    process.stderr.write(`measuring ${format} ...\n`);
    results.push(await measureApart(options, format));
    if (options.json) console.log(JSON.stringify(results.at(-1)));
  }
  if (!options.json) for (const line of benchTable(results)) console.log(line);
  await drawChart(options, results);
}

async function measureHere(options: Options, dtype: WeightFormat) {
  await useBackend(options.backend);
  if (options.randomWeights !== undefined) {
    const config = sizes[options.randomWeights]?.() ?? reneConfig1_3B;
    return measure(await benchModel(config, dtype), dtype, null, options);
  }
  const dir = await modelFolder(options.model);
  let model: ReneLMHeadModel | undefined;
  const loading = await seconds(async () => {
    model = await ReneLMHeadModel.fromPretrained(dir, { backend: options.backend, dtype });
  });
  if (!model) throw new ReneError('no model was loaded');
  return measure(model, dtype, loading, options);
}

/** In a process of its own: the peak of memory is a process's, and dtypes must not share it. */
async function measureApart(options: Options, dtype: WeightFormat): ReturnType<typeof measureHere> {
  const { model, randomWeights, backend, prompt, tokens, batch } = options;
  const source =
    randomWeights === undefined
      ? ['--model', model ?? 'rene-tiny']
      : ['--random-weights', randomWeights];
  const numbers = ['--prompt', prompt, '--tokens', tokens, '--batch', batch].map(String);
  const [script = ''] = process.argv.slice(1);
  const args = [
    script,
    'bench',
    ...source,
    '--backend',
    backend,
    ...numbers,
    '--json',
    '--dtype',
    dtype,
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 1 << 24 });
  return JSON.parse(stdout);
}

async function drawChart(
  { chart, model, randomWeights }: Options,
  results: Parameters<typeof benchChart>[0],
): Promise<void> {
  if (chart === undefined) return;
  const what =
    randomWeights === undefined ? (model ?? 'rene-tiny') : `Rene ${randomWeights}, random weights`;
  const svg = new TextEncoder().encode(benchChart(results, what));
  await writeFileAtomically(chart, (put) => put(svg));
  process.stderr.write(`wrote ${chart}\n`);
}

function count(text: string): number {
  const value = wholeNumber(text);
  if (value >= 1) return value;
  throw new InvalidArgumentError('It must be at least 1.');
}
