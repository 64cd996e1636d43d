// Time to the first token of rene-tiny: a new process imports the packages, loads the included model, and
// continues a prompt. This is what a new user waits for.
//
//   node benchmarks/dist/first_token.js [--rounds 9] [--backend simd]
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    backend: { type: 'string', default: 'simd' },
  },
});

if (process.env.RENE_FIRST_TOKEN) {
  const start = performance.now();
  const { ReneLMHeadModel, Tokenizer, streamText } = await import('@rene-js/rene');
  const imported = performance.now();
  const model = await ReneLMHeadModel.fromPretrained('rene-tiny', { backend: values.backend });
  const tokenizer = await Tokenizer.fromPretrained('rene-tiny');
  const loaded = performance.now();
  for await (const _ of streamText(model, tokenizer, 'A glacier is', { maxNewTokens: 8 })) break;
  const token = performance.now();
  console.log(JSON.stringify([imported - start, loaded - imported, token - loaded]));
  process.exit(0);
}

const env = { ...process.env, RENE_FIRST_TOKEN: '1' };
const args = [fileURLToPath(import.meta.url), ...process.argv.slice(2)];
const parts: number[][] = [];
const totals: number[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  const start = performance.now();
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  totals.push(performance.now() - start);
  parts.push(JSON.parse(stdout));
}
const middle = (numbers: number[]) => numbers.sort((a, b) => a - b)[numbers.length >> 1] ?? 0;
const [imports = 0, load = 0, token = 0] = [0, 1, 2].map((i) =>
  middle(parts.map((p) => p[i] ?? 0)),
);
console.log(
  `import ${imports.toFixed(0)} ms, load ${load.toFixed(0)} ms, first token ${token.toFixed(0)} ms: ` +
    `${(imports + load + token).toFixed(0)} ms; the whole process ${middle(totals).toFixed(0)} ms ` +
    `(medians of ${totals.length})`,
);
