// Training speed of rene-tiny's configuration on every available tfjs backend, and on PyTorch.
//
//   npm run build && node benchmarks/dist/training.js [--python PYTHON] [--rounds 3] [--rows 16] [--threads 2]
//     [--vocab 8192]
//
// Tokens per second are given for wall time and for CPU time of all threads together: on a busy machine
// compare the latter, with --threads 1 (a waiting thread spins). PYTHON is an interpreter with torch and
// safetensors. Each engine trains in its own process, interleaved, from the same weights and tokens; results
// are medians of the rounds. The first losses must agree, which shows that all train the same model.
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { useBackend } from '@rene-js/layers';
import { ReneLMHeadModel } from '@rene-js/rene';
import { AdamW, lossAndGradients, tinyConfig } from '@rene-js/rene/training';
import * as tf from '@tensorflow/tfjs-core';

const { values: options } = parseArgs({
  options: {
    python: { type: 'string' },
    backends: { type: 'string', default: 'cpu,wasm,simd,tensorflow' },
    rounds: { type: 'string', default: '3' },
    rows: { type: 'string', default: '16' },
    length: { type: 'string', default: '128' },
    seconds: { type: 'string', default: '8' },
    threads: { type: 'string', default: String(availableParallelism()) },
    vocab: { type: 'string', default: '8192' },
    model: { type: 'string' },
    worker: { type: 'string' },
  },
});
const rows = Number(options.rows);
const length = Number(options.length);
const seconds = Number(options.seconds);

const size = ['--rows', String(rows), '--length', String(length), '--seconds', String(seconds)];
const command = promisify(execFile);
const environment = { ...process.env, RENE_THREADS: options.threads };

interface Result {
  engine: string;
  /** Loss of a first step on one row, in nats per token. */
  loss: number;
  rows: number;
  tokensPerSecond: number;
  tokensPerCpuSecond: number;
}

if (options.worker && options.model) {
  console.log(JSON.stringify(await measure(options.worker, options.model)));
  process.exit(0);
} else {
  await compare();
}

/**
 * The number of rows doubles until a step takes a fifth of the available (CPU) time, or all rows are used.
 */
async function measure(backend: string, dir: string): Promise<Result> {
  if (backend === 'wasm') await import('@tensorflow/tfjs-backend-wasm');
  await useBackend(backend);
  const model = await ReneLMHeadModel.fromPretrained(dir, { trainable: true });
  const variables = model.trainableVariables;
  const optimizer = new AdamW(variables);
  const cpuSeconds = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  const step = async (batchRows: number) => {
    const [started, cpuStarted] = [performance.now(), cpuSeconds()];
    const batch = makeBatch(batchRows, model.config.vocabSize);
    const { loss, norm, gradients } = await lossAndGradients(model, variables, [batch]);
    optimizer.step(gradients, 1e-3, Math.min(1, 1 / norm));
    tf.dispose([...gradients.values()]);
    await [...variables.values()][0]?.data();
    const cpu = cpuSeconds() - cpuStarted;
    return { loss, cpu, seconds: (performance.now() - started) / 1000 };
  };
  const { loss } = await step(1);
  let batchRows = 1;
  let last = await step(batchRows);
  while (batchRows < rows && last.cpu < seconds / 5) {
    batchRows = Math.min(rows, batchRows * 2);
    last = await step(batchRows);
  }
  let steps = 0;
  let spent = 0;
  let cpu = 0;
  for (; spent < seconds || steps === 0; steps++) {
    last = await step(batchRows);
    spent += last.seconds;
    cpu += last.cpu;
  }
  const tokens = steps * batchRows * length;
  return {
    engine: `tfjs '${backend}'`,
    loss,
    rows: batchRows,
    tokensPerSecond: tokens / spent,
    tokensPerCpuSecond: tokens / cpu,
  };
}

/** The same tokens as in training_peer.py. */
function makeBatch(batchRows: number, vocabSize: number) {
  const inputs = new Int32Array(batchRows * length);
  const targets = new Int32Array(batchRows * length);
  const id = (at: number) => (at * 7919 + Math.floor(at / 5)) % vocabSize;
  for (let row = 0; row < batchRows; row++) {
    for (let i = 0; i < length; i++) {
      inputs[row * length + i] = id(row * (length + 1) + i);
      targets[row * length + i] = id(row * (length + 1) + i + 1);
    }
  }
  return { rows: batchRows, length, inputs, targets, counted: inputs.length };
}

async function compare(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'rene-training-'));
  try {
    const model = await ReneLMHeadModel.fromConfig(tinyConfig(Number(options.vocab)), {
      backend: 'cpu',
    });
    await model.save(dir);
    model.dispose();
    const engines = options.backends.split(',').map((name) => ({ name, run: tfjs(name, dir) }));
    if (options.python) engines.push({ name: 'PyTorch', run: pytorch(options.python, dir) });
    const results = new Map<string, Result[]>(engines.map(({ name }) => [name, []]));
    for (let round = 0; round < Number(options.rounds); round++) {
      for (const { name, run } of engines) {
        const result = await run().catch((error: unknown) => failure(name, error));
        if (result) results.get(name)?.push(result);
        else results.delete(name);
      }
    }
    print([...results.values()]);
  } finally {
    await rm(dir, { recursive: true });
  }
}

function tfjs(backend: string, dir: string): () => Promise<Result> {
  const args = [fileURLToPath(import.meta.url), '--worker', backend, '--model', dir, ...size];
  return async () => lastLine((await command(process.execPath, args, { env: environment })).stdout);
}

function pytorch(python: string, dir: string): () => Promise<Result> {
  const peer = fileURLToPath(new URL('../training_peer.py', import.meta.url));
  const args = [peer, '--model', dir, '--threads', options.threads, ...size];
  return async () => lastLine((await command(python, args)).stdout);
}

function lastLine(output: string): Result {
  return JSON.parse(output.trim().split('\n').at(-1) ?? '');
}

function failure(name: string, error: unknown): undefined {
  const lines = String(error).split('\n');
  const why = lines.findLast((line) => /error/i.test(line)) ?? lines[0];
  console.error(`${name} is left out: ${why}`);
}

function print(results: Result[][]): void {
  const table = results.flatMap(([first, ...others]) => {
    if (!first) return [];
    const all = [first, ...others];
    const wall = median(all.map((r) => r.tokensPerSecond));
    return [{ ...first, wall, cpu: median(all.map((r) => r.tokensPerCpuSecond)) }];
  });
  const own = table.find(({ engine }) => engine === "tfjs 'simd'") ?? table[0];
  console.log(
    `${options.threads} threads, rows of ${length} tokens, forward + backward + AdamW, medians of ` +
      `${options.rounds}: tokens a second (and how many times as fast ${own?.engine} is), of ` +
      'processor time (likewise), rows, first loss',
  );
  for (const { engine, wall, cpu, rows: used, loss } of table) {
    const of = (speed: number, best = 0) =>
      `${speed.toFixed(0).padStart(6)} (${(best / speed).toFixed(2).padStart(6)})`;
    console.log(
      `${engine.padEnd(26)} ${of(wall, own?.wall)} ${of(cpu, own?.cpu)} ` +
        `${String(used).padStart(3)} ${loss.toFixed(4)}`,
    );
  }
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
