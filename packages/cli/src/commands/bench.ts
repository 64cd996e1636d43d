// `rene bench`: load, prefill and decode speed and memory of a model. Each dtype runs in its own process.
import { spawn } from 'node:child_process';
import { useBackend, weightPacker } from '@rene-js/layers';
import { type CausalLM, reneConfig1_3B } from '@rene-js/rene';
import { ReneError, writeFileAtomically } from '@rene-js/rene/internal';
import { benchChart } from '../bench/chart.js';
import { type BenchResult, measure, seconds } from '../bench/measure.js';
import { randomConfigs } from '../bench/random_configs.js';
import { randomModel } from '../bench/random_model.js';
import { BENCH_LEGEND, benchSetting, benchTable } from '../bench/report.js';
import type { BenchCommandOptions, Format } from './bench_options.js';
import { limitThreads, loadModel, modelFolder } from './load.js';
import { withProgressBar } from './progress_bar.js';

export async function runBench(options: BenchCommandOptions): Promise<void> {
  // Resolves the model once, before each dtype is measured in its own process.
  if (options.randomWeights === undefined) await modelFolder(options.model, options.revision);
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

async function measureHere(options: BenchCommandOptions, dtype: Format): Promise<BenchResult> {
  process.stderr.write(`measuring ${dtype} ...\n`);
  await limitThreads(options.threads);
  const dir =
    options.randomWeights === undefined
      ? await modelFolder(options.model, options.revision)
      : undefined;
  let model: CausalLM | undefined;
  const loading = await seconds(async () => {
    model = dir === undefined ? await random(options, dtype) : await load(dir, options, dtype);
  });
  if (!model) throw new ReneError('no model was loaded');
  const loaded = model;
  return withProgressBar(`${dtype} [{bar}] {percentage}% {eta_formatted} left`, (update) =>
    measure(loaded, loading, options, update),
  );
}

function load(dir: string, { backend }: BenchCommandOptions, dtype: Format): Promise<CausalLM> {
  return loadModel(dir, { backend, dtype });
}

async function random(
  { backend, randomWeights = '1.3b' }: BenchCommandOptions,
  dtype: Format,
): Promise<CausalLM> {
  await useBackend(backend);
  const config = randomConfigs[randomWeights]?.() ?? reneConfig1_3B;
  return withProgressBar('making the model [{bar}] {percentage}%', (update) =>
    randomModel(config, {
      format: dtype === 'auto' ? 'bf16' : dtype,
      onProgress: ({ loadedValues, totalValues }) => update(loadedValues, totalValues),
    }),
  );
}

/**
 * Runs one dtype in its own process, so that its peak memory can be measured. Returns undefined if that
 * failed; the process has printed the reason.
 */
function measureApart(
  options: BenchCommandOptions,
  dtype: Format,
): Promise<BenchResult | undefined> {
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
  { chart, model, randomWeights }: BenchCommandOptions,
  results: readonly BenchResult[],
): Promise<void> {
  if (chart === undefined) return;
  const title =
    randomWeights === undefined
      ? (model ?? 'rene-tiny')
      : `${/^(1.3b|tiny)$/.test(randomWeights) ? 'Rene ' : ''}${randomWeights}, random weights`;
  const svg = new TextEncoder().encode(benchChart(results, title));
  await writeFileAtomically(chart, (put) => put(svg));
  process.stderr.write(`wrote ${chart}\n`);
}
