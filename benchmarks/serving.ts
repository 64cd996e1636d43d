// `rene serve` under load: concurrent streaming clients, long prompts, malformed bodies. Loopback only.
//
//   node benchmarks/dist/serving.js [--clients 64] [--seconds 60] [--malformed 10000] [--model DIR]
//     [--prefix-cache-bytes 67108864]
//
// The server runs in this process, so that its event loop's lag and its memory can be measured; the clients
// are a separate process (serving_clients.ts). Ends with code 1 unless every response equals that of a single
// client of a server without a prefix cache, none is lost, the cache stays within its bound, and the server
// still responds normally at the end.
import { fork } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createServer, TokenizerThread, WorkerEngine } from '@rene-js/cli/serving';
import { Tokenizer } from '@rene-js/rene';
import type { ClientOptions, ClientResult } from './serving_clients.js';

const tiny = fileURLToPath(new URL('../../packages/rene/models/rene-tiny', import.meta.url));
const { values } = parseArgs({
  options: {
    model: { type: 'string', default: tiny },
    clients: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '60' },
    malformed: { type: 'string', default: '10000' },
    'prefix-cache-bytes': { type: 'string', default: String(64 * 2 ** 20) },
  },
});
const clients = Number(values.clients);
const seconds = Number(values.seconds);

const tokenizerPath = `${values.model}/tokenizer.json`;
const prefixCacheBytes = Number(values['prefix-cache-bytes']);
const settings = { dir: values.model, tokenizerPath };
const engine = await WorkerEngine.start({ ...settings, prefixCacheBytes });
const plainEngine = await WorkerEngine.start({ ...settings, prefixCacheBytes: 0 });
const tokenizer = await Tokenizer.fromFile(tokenizerPath);
const encoder = new TokenizerThread(tokenizerPath, tokenizer);
const common = {
  encoder,
  tokenizer,
  modelName: 'rene',
  vocabSize: engine.vocabSize,
  // No client may get 429.
  maxWaiting: Math.max(256, 4 * clients),
};
const server = createServer({ ...common, engine });
const plain = createServer({ ...common, engine: plainEngine });
const url = await server.listen({ host: '127.0.0.1', port: 0 });
const plainUrl = await plain.listen({ host: '127.0.0.1', port: 0 });
console.log(`${values.model} on '${engine.backend}', ${engine.load().slots} slots`);

let failed = false;
await phase('warm-up', { kind: 'stream', seconds: 5, clients });
await phase(`${clients} streaming clients`, { kind: 'stream', seconds, clients });
await phase('prompts of 4000 tokens', { kind: 'prefill', seconds: seconds / 4, clients: 4 });
await phase('malformed', { kind: 'malformed', count: Number(values.malformed), clients: 16 });
await phase('afterwards', { kind: 'stream', seconds: 2, clients });
await Promise.all([server.close(), plain.close()]);
await Promise.all([engine.close(), plainEngine.close(), encoder.close()]);
process.exit(failed ? 1 : 0);

async function phase(
  name: string,
  options: Omit<ClientOptions, 'url' | 'plainUrl'>,
): Promise<void> {
  const lag = monitorEventLoopDelay({ resolution: 1 });
  const memory: number[] = [];
  let cached = 0;
  const before = await engine.memory();
  const sampler = setInterval(() => {
    memory.push(process.memoryUsage().rss / 2 ** 20);
    cached = Math.max(cached, engine.load().cacheBytes ?? 0);
  }, 1000);
  lag.enable();
  const result = await runClients({ ...options, url, plainUrl });
  lag.disable();
  clearInterval(sampler);
  const after = await settled();
  const { lost, different, answers, tokens, statuses } = result;
  const isWhole =
    lost === 0 && different === 0 && before.tensors === after.tensors && cached <= prefixCacheBytes;
  failed ||= !isWhole;
  const ms = (nanoseconds: number) => `${(nanoseconds / 1e6).toFixed(1)} ms`;
  const third = Math.max(1, Math.floor(memory.length / 3));
  const mean = (part: readonly number[]) => part.reduce((a, b) => a + b, 0) / (part.length || 1);
  console.log(
    [
      `${name}: ${isWhole ? 'whole' : 'NOT WHOLE'}`,
      `${answers} answers, ${lost} lost, ${different} unlike the single client's`,
      `${(tokens / result.seconds).toFixed(0)} tokens a second over ${result.seconds.toFixed(0)} s`,
      `event loop's lag p50 ${ms(lag.percentile(50))}, p99 ${ms(lag.percentile(99))}, max ${ms(lag.max)}`,
      `resident ${mean(memory.slice(0, third)).toFixed(0)} MiB in the first third, ${mean(memory.slice(-third)).toFixed(0)} in the last`,
      `prefix cache at most ${(cached / 2 ** 20).toFixed(0)} of ${(prefixCacheBytes / 2 ** 20).toFixed(0)} MiB`,
      `tensors ${before.tensors} before, ${after.tensors} after`,
      `statuses ${JSON.stringify(statuses)}`,
    ].join('\n  '),
  );
}

/** Memory of the model's thread when it is idle. */
async function settled(): Promise<{ tensors: number; bytes: number }> {
  for (let i = 0; i < 300 && engine.load().active + engine.load().waiting > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  // A cancelled sequence leaves the batch with the next step.
  await new Promise((resolve) => setTimeout(resolve, 500));
  return engine.memory();
}

function runClients(options: ClientOptions): Promise<ClientResult> {
  const file = fileURLToPath(new URL('./serving_clients.js', import.meta.url));
  const child = fork(file, [JSON.stringify(options)]);
  return new Promise((resolve, reject) => {
    let result: ClientResult | undefined;
    child.on('message', (message: ClientResult) => {
      result = message;
    });
    child.on('error', reject);
    child.on('exit', (code) =>
      result ? resolve(result) : reject(new Error(`the clients ended with ${code}`)),
    );
  });
}
