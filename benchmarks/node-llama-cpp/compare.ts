// A model compared with llama.cpp (node-llama-cpp, its prebuilt native library) at the same bytes per weight,
// interleaved on the same machine. Random weights; only speed is compared.
//
//   npm install --prefix benchmarks/node-llama-cpp && npm run build
//   node benchmarks/dist/node-llama-cpp/compare.js [--model 1.3b] [--pairs int4,int8,bf16]
//        [--rounds 5] [--prompt 512] [--tokens 64] [--threads 2] [--folder DIR]
//
// --model: 1.3b (Rene), granite-4.0-h-1b or granite-4.0-h-350m. Both models of a pair are loaded at the same
// time, each in a process that sleeps while the other one runs: int8 of a 1B model needs 3 GB of memory, bf16
// 6 GB. The GGUF files (3.6 GB on disk for each model of 1B) stay in the folder.
import { type ChildProcess, fork } from 'node:child_process';
import { mkdir, stat } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median, randomConfigs } from '@rene-js/cli/bench';
import { type GgufType, writeRandomGguf } from './gguf.js';
import { ggufModel } from './gguf_models.js';
import type { Answer, Ask, Ready } from './side.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: '1.3b' },
    pairs: { type: 'string', default: 'int4,int8,bf16' },
    rounds: { type: 'string', default: '5' },
    prompt: { type: 'string', default: '512' },
    tokens: { type: 'string', default: '64' },
    threads: { type: 'string', default: String(availableParallelism()) },
    folder: { type: 'string', default: join(tmpdir(), 'rene-benchmarks') },
  },
});
const config = randomConfigs[values.model]?.();
if (!config) throw new Error(`--model: found ${values.model}`);
const { vocabSize } = config;
const gguf = ggufModel(config);
const rounds = Number(values.rounds);
const promptLength = Number(values.prompt);
const tokens = Number(values.tokens);

const peers: Readonly<Record<string, GgufType>> = { int4: 'Q4_0', int8: 'Q8_0', bf16: 'BF16' };
const here = fileURLToPath(new URL('.', import.meta.url));
const llamaSide = fileURLToPath(new URL('../../node-llama-cpp/llama_side.mjs', import.meta.url));

async function compare(format: string, type: GgufType): Promise<void> {
  const path = join(values.folder, `${values.model}-${type}.gguf`);
  await mkdir(values.folder, { recursive: true });
  const there = await stat(path).catch(() => undefined);
  if (!there) await writeRandomGguf(path, gguf, type);
  const weights = (await stat(path)).size;

  const sides: Side[] = [];
  try {
    const ours = new Side(join(here, 'rene_side.js'), [values.model, format]);
    sides.push(ours);
    const ourLoad = await ours.ready();
    const context = String(promptLength + tokens + 16);
    const theirs = new Side(llamaSide, [path, values.threads, context]);
    sides.push(theirs);
    const theirLoad = await theirs.ready();
    const ask = { prompt: randomIds(promptLength), tokens };
    for (const side of sides) await side.run(ask); // warm-up
    const our: Answer[] = [];
    const their: Answer[] = [];
    for (let round = 0; round < rounds; round++) {
      our.push(await ours.run(ask));
      their.push(await theirs.run(ask));
    }
    const probe = median(our.map(({ readBandwidth }) => readBandwidth));
    console.log(`\n${format} and ${type}; memory is read with ${(probe / 1e9).toFixed(1)} GB/s`);
    print('rene-js', our, ourLoad, weights, probe);
    print('node-llama-cpp', their, theirLoad, weights, probe);
    const ratio = (key: 'prefill' | 'decode') =>
      // Ratio of neighbouring runs, which cancels variations of the machine.
      median(our.map((answer, i) => (their[i]?.[key] ?? 0) / answer[key])).toFixed(2);
    console.log(
      `  rene-js / node-llama-cpp: prefill ${ratio('prefill')}, decode ${ratio('decode')}`,
    );
  } finally {
    for (const side of sides) side.end();
  }
}

function print(
  name: string,
  answers: readonly Answer[],
  loadSeconds: number,
  weights: number,
  probe: number,
): void {
  const speeds = (count: number, key: 'prefill' | 'decode') => {
    const all = answers.map((answer) => count / answer[key]);
    const range = `${Math.min(...all).toFixed(1)} to ${Math.max(...all).toFixed(1)}`;
    return { middle: median(all), text: `${median(all).toFixed(1)} (${range})` };
  };
  const prefill = speeds(promptLength, 'prefill');
  const decode = speeds(tokens, 'decode');
  const peak = Math.max(...answers.map(({ peakBytes }) => peakBytes));
  console.log(
    `  ${name.padEnd(15)} prefill ${prefill.text} tok/s, decode ${decode.text} tok/s, ` +
      `share ${((decode.middle * weights) / probe).toFixed(2)}, ` +
      `load ${loadSeconds.toFixed(1)} s, peak ${(peak / 1e9).toFixed(2)} GB`,
  );
}

/** A process with a model, which handles one request at a time. */
class Side {
  private readonly child: ChildProcess;
  private answered: (message: unknown) => void = () => {};
  private failed: (error: Error) => void = () => {};
  private readonly loaded: Promise<unknown>;

  constructor(script: string, args: string[]) {
    const env = { ...process.env, RENE_THREADS: values.threads };
    this.child = fork(script, args, { env });
    this.loaded = this.next();
    this.child.on('message', (message) => this.answered(message));
    this.child.on('exit', (code) => this.failed(new Error(`${script} ended with ${code}`)));
  }

  async ready(): Promise<number> {
    // serve() in side.ts sends this message.
    return ((await this.loaded) as Ready).loadSeconds;
  }

  async run(ask: Ask): Promise<Answer> {
    const answer = this.next();
    this.child.send(ask);
    return (await answer) as Answer;
  }

  end(): void {
    this.failed = () => {};
    this.child.disconnect();
  }

  private next(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.answered = resolve;
      this.failed = reject;
    });
  }
}

/** The same ids at every call, without special tokens. */
function randomIds(count: number): number[] {
  let seed = 7;
  return Array.from({ length: count }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return 300 + ((seed >>> 8) % (vocabSize - 1000));
  });
}

console.log(
  `${values.model}; ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, node ${process.version}; ` +
    `${values.threads} threads, prompt ${promptLength}, ${tokens} tokens decoded, ` +
    `medians of ${rounds} rounds (least to most)`,
);
for (const format of values.pairs.split(',')) {
  const type = peers[format];
  if (!type) throw new Error(`--pairs: expected ${Object.keys(peers).join(', ')}, found ${format}`);
  await compare(format, type);
}
