// `rene bench`: speed and memory of a model on this machine, each dtype in a process of its own.
import { spawn } from 'node:child_process';
import { useBackend, type WeightFormat, weightPacker } from '@rene-js/layers';
import { type ReneConfig, type ReneLMHeadModel, reneConfig1_3B } from '@rene-js/rene';
import { ReneError, writeFileAtomically } from '@rene-js/rene/internal';
import { tinyConfig } from '@rene-js/rene/training';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { benchChart } from '../bench/chart.js';
import { type BenchOptions, type BenchResult, measure, seconds } from '../bench/measure.js';
import { randomModel } from '../bench/random_model.js';
import { BENCH_LEGEND, benchSetting, benchTable } from '../bench/report.js';
import { formatFrom, LOAD_FORMATS } from './dtype_option.js';
import { addThreadsOption, limitThreads, loadModel, modelFolder } from './load.js';
import { wholeNumber } from './numbers.js';
import { withProgressBar } from './progress_bar.js';

type Format = 'auto' | WeightFormat;

interface Options extends BenchOptions {
  model?: string;
  revision?: string;
  randomWeights?: string;
  backend: string;
  threads?: number;
  dtype?: Format[];
  json: boolean;
  chart?: string;
}

const sizes: Record<string, () => ReneConfig> = {
  '1.3b': () => reneConfig1_3B,
  tiny: () => tinyConfig(2048),
};

export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .description(
      'load, prefill and decode speed, memory, and how near decoding comes to what memory allows',
    )
    .option('-m, --model <dir>', 'model folder or hub id (default: rene-tiny, which is included)')
    .option('--revision <name>', "a hub id's branch, tag or commit (default: main)")
    .addOption(
      new Option('--random-weights <size>', 'no file: random weights of this size')
        .choices(Object.keys(sizes))
        .conflicts('model'),
    )
    .option('--backend <name>', 'auto, cpu, simd, tensorflow, or another tfjs backend', 'auto')
    .addOption(
      new Option(
        '--dtype <formats...>',
        "how weights are held, one run each; 'auto' is the file's own (default: bf16 int8 int4, as far as the backend holds them)",
      ).argParser((text: string, others: Format[] = []) => [
        ...others,
        formatFrom(LOAD_FORMATS)(text),
      ]),
    );
  addThreadsOption(command)
    .option('--prompt <tokens>', 'length of the prompt', count, 512)
    .option('--tokens <count>', 'tokens decoded after it', count, 64)
    .option('--batch <rows>', 'prompts at a time', count, 1)
    .option('--repeat <times>', 'prompts read and continued; medians count', count, 3)
    .option('--json', 'one JSON object a dtype', false)
    .option('--chart <file.svg>', 'also draw the decode speeds')
    .action(run);
}

async function run(options: Options): Promise<void> {
  const dtypes = options.dtype ?? (await usualFormats(options.backend));
  const results: BenchResult[] = [];
  for (const dtype of dtypes) {
    const result =
      dtypes.length > 1 ? await measureApart(options, dtype) : await measureHere(options, dtype);
    if (result === undefined) process.exitCode = 1;
    else results.push(result);
    if (result && options.json) console.log(JSON.stringify(result));
  }
  const [first] = results;
  if (!first) return;
  if (!options.json) {
    const lines = [benchSetting(first), '', ...benchTable(results), '', ...BENCH_LEGEND];
    for (const line of lines) console.log(line);
  }
  await drawChart(options, results);
}

async function usualFormats(backend: string): Promise<Format[]> {
  await useBackend(backend);
  const { formats: held } = weightPacker();
  const usual = (['bf16', 'int8', 'int4'] as const).filter((format) => held.includes(format));
  return usual.length > 0 ? usual : ['f32'];
}

async function measureHere(options: Options, dtype: Format): Promise<BenchResult> {
  process.stderr.write(`measuring ${dtype} ...\n`);
  await limitThreads(options.threads);
  const dir =
    options.randomWeights === undefined
      ? await modelFolder(options.model, options.revision)
      : undefined;
  let model: ReneLMHeadModel | undefined;
  const loading = await seconds(async () => {
    model = dir === undefined ? await random(options, dtype) : await load(dir, options, dtype);
  });
  if (!model) throw new ReneError('no model was loaded');
  const loaded = model;
  return withProgressBar(`${dtype} [{bar}] {percentage}% {eta_formatted} left`, (update) =>
    measure(loaded, loading, options, update),
  );
}

function load(dir: string, { backend }: Options, dtype: Format): Promise<ReneLMHeadModel> {
  return loadModel(dir, { backend, dtype });
}

async function random(options: Options, dtype: Format): Promise<ReneLMHeadModel> {
  await useBackend(options.backend);
  const config = sizes[options.randomWeights ?? '']?.() ?? reneConfig1_3B;
  return withProgressBar('making the model [{bar}] {percentage}%', (update) =>
    randomModel(config, {
      format: dtype === 'auto' ? 'bf16' : dtype,
      onProgress: ({ loadedValues, totalValues }) => update(loadedValues, totalValues),
    }),
  );
}

/**
 * In a process of its own: the peak of memory is a process's, and dtypes must not share it. Undefined
 * where it failed; it has said why.
 */
function measureApart(options: Options, dtype: Format): Promise<BenchResult | undefined> {
  const { model, revision, randomWeights, backend, threads, prompt, tokens, batch, repeat } =
    options;
  const given = Object.entries({
    ...{ model, revision, 'random-weights': randomWeights, backend, threads },
    ...{ prompt, tokens, batch, repeat, dtype },
  }).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)]));
  const [script = ''] = process.argv.slice(1);
  const args = [...process.execArgv, script, 'bench', '--json', ...given];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve(code === 0 ? JSON.parse(output) : undefined));
  });
}

async function drawChart(
  { chart, model, randomWeights }: Options,
  results: readonly BenchResult[],
): Promise<void> {
  if (chart === undefined) return;
  const title =
    randomWeights === undefined ? (model ?? 'rene-tiny') : `Rene ${randomWeights}, random weights`;
  const svg = new TextEncoder().encode(benchChart(results, title));
  await writeFileAtomically(chart, (put) => put(svg));
  process.stderr.write(`wrote ${chart}\n`);
}

function count(text: string): number {
  const value = wholeNumber(text);
  if (value >= 1) return value;
  throw new InvalidArgumentError('It must be at least 1.');
}
