// Time to first token of a running `rene serve`: of the same long prompt again, and of a short request while
// long ones wait.
//
//   rene serve MODEL --port 8000
//   node benchmarks/dist/serving_latency.js [http://127.0.0.1:8000] [--tokens 3900] [--waiting 100] [--model NAME]
//
// Prompts are random token ids. --waiting 0 leaves the second part out; it takes as long as the server needs for
// that many prompts.
import { parseArgs } from 'node:util';
import { median } from '@rene-js/cli/bench';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: 'string', default: '3900' },
    waiting: { type: 'string', default: '100' },
    model: { type: 'string' },
  },
});
const [url = 'http://127.0.0.1:8000'] = positionals;
const tokens = Number(values.tokens);
const { model } = values;

interface Answer {
  /** Milliseconds until the first token. */
  readonly first: number;
  /** The events without ids and dates. */
  readonly text: string;
}

async function ask(prompt: readonly number[]): Promise<Answer> {
  const start = performance.now();
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      ...{ model, prompt, max_tokens: 16, seed: 1, logprobs: 1, ignore_eos: true, stream: true },
    }),
  });
  if (!response.ok || !response.body) throw new Error(await response.text());
  let first: number | undefined;
  let text = '';
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    first ??= performance.now() - start;
    text += piece;
  }
  return { first: first ?? Number.NaN, text: text.replace(/"(id|created)":("[^"]*"|\d+)/g, '') };
}

/** Token ids of vocabularies from 5,000 tokens. */
function idsOf(length: number, seed: number): readonly number[] {
  return Array.from(
    { length },
    (_, i) => 50 + ((seed * 7919 + i * 31 + i * i * (seed + 1)) % 4900),
  );
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const shown = (ms: number) => `${ms.toFixed(1)} ms`;

await ask(idsOf(8, 1)); // compiles
const prompt = idsOf(tokens, 2);
const answers = [];
for (let i = 0; i < 3; i++) answers.push(await ask(prompt));
const [whole, ...again] = answers;
if (!whole) throw new Error('no answer');
const share = (100 * median(again.map(({ first }) => first))) / whole.first;
const isSame = again.every(({ text }) => text === whole.text);
console.log(
  `${tokens} tokens: ${shown(whole.first)}; again ${again.map(({ first }) => shown(first)).join(', ')}: ` +
    `${share.toFixed(2)} %, ${isSame ? 'the same answer' : 'ANOTHER ANSWER'}`,
);

const idle: number[] = [];
for (let i = 0; i < 15; i++) idle.push((await ask(idsOf(8, 100 + i))).first);
const longs = Array.from({ length: Number(values.waiting) }, (_, i) =>
  ask(idsOf(tokens, 1000 + i)),
);
let open = longs.length;
for (const long of longs) void long.finally(() => open--);
await pause(1000);
const busy: number[] = [];
while (open > 0 && busy.length < 40) {
  busy.push((await ask(idsOf(8, 200 + busy.length))).first);
  await pause(150);
}
if (busy.length > 0) {
  const most = Math.max(...busy);
  console.log(
    `short requests, idle: ${shown(median(idle))}; while ${open} to ${longs.length} of ${tokens} tokens wait: ` +
      `median ${shown(median(busy))}, max ${shown(most)} (${(most / median(idle)).toFixed(1)} x)`,
  );
}
await Promise.all(longs);
