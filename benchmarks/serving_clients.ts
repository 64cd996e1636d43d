// The clients of serving.ts, in a separate process that reports the results to its parent.
import { Agent, request } from 'node:http';
import { connect } from 'node:net';

export interface ClientOptions {
  url: string;
  /** A server without a prefix cache, for the answers of a single client. Default: the same server. */
  plainUrl?: string;
  /** Streaming requests, long prompts, or malformed bodies. */
  kind: 'stream' | 'prefill' | 'malformed';
  clients: number;
  /** Duration, except for malformed bodies, which are counted. */
  seconds?: number;
  count?: number;
}

export interface ClientResult {
  seconds: number;
  answers: number;
  tokens: number;
  /** Requests without a complete response. */
  lost: number;
  /** Responses that differ from a single client's with the same seed. */
  different: number;
  statuses: Record<string, number>;
}

interface Answer {
  status: number;
  text: string;
}

const ROUTES = [
  '/v1/completions',
  '/v1/completions',
  '/v1/completions',
  '/tokenize',
  '/detokenize',
];
const TYPES = ['application/json', 'application/json', 'application/json', 'text/plain', 'x'];
const ODD = [
  'null',
  '-1',
  '0',
  '1e999',
  '1e308',
  '-0',
  '0.5',
  '""',
  '"\\ud800"',
  '[]',
  '{}',
  '[[]]',
  '[null]',
  'true',
  '"\\u0000"',
  '[1,"a"]',
  '[99999999]',
  '[-1]',
  '{"a":{}}',
  '{"__proto__":1}',
  '9007199254740993',
];
const WORDS = 'the sea is old and a bird of stone sings by night under some house'.split(' ');
const FIELDS = [
  'prompt',
  'max_tokens',
  'n',
  'stop',
  'logprobs',
  'seed',
  'logit_bias',
  'echo',
  'temperature',
  'top_p',
  'stream',
  'tokens',
  'best_of',
  'suffix',
  'top_k',
  'stop_token_ids',
  'model',
  'stream_options',
  '__proto__',
];

const options: ClientOptions = JSON.parse(process.argv[2] ?? '{}');
const agent = new Agent({ keepAlive: true, maxSockets: options.clients });
const result: ClientResult = {
  seconds: 0,
  answers: 0,
  tokens: 0,
  lost: 0,
  different: 0,
  statuses: {},
};
const random = generator(20_261_124);
const run = { stream, prefill, malformed }[options.kind];
const started = performance.now();
result.seconds = (await run()) ?? (performance.now() - started) / 1000;
process.send?.(result, () => process.exit(0));

/** Each client sends its next request as soon as it has a response. @returns the duration in seconds */
async function stream(): Promise<number> {
  const bodies = Array.from({ length: 120 }, (_, i) => streamBody(i));
  const alone: (Content | undefined)[] = [];
  for (const body of bodies) alone.push(contentOf(await post(body, { url: options.plainUrl })));
  const begin = performance.now();
  await eachClient(async () => {
    const i = Math.floor(random() * bodies.length);
    const content = contentOf(await post(bodies[i] ?? ''));
    if (content === undefined) return;
    result.answers++;
    result.tokens += content.tokens;
    if (content.choices !== alone[i]?.choices) result.different++;
  });
  return (performance.now() - begin) / 1000;
}

/** A third of the prompts begin alike. */
function streamBody(i: number): string {
  const words = Array.from(
    { length: (i * 7) % 90 },
    (_, k) => WORDS[(i * i + k * k) % WORDS.length],
  );
  const own = `Number ${i}: ${words.join(' ')}`;
  return JSON.stringify({
    prompt: i % 3 === 0 ? `${'The old house is big. '.repeat(30)}${own}` : own,
    max_tokens: 4 + (i % 7) * 8,
    seed: i,
    temperature: i % 5 === 0 ? 0 : 1,
    top_p: i % 3 === 0 ? 0.9 : 1,
    n: i % 10 === 0 ? 2 : 1,
    logprobs: i % 4 === 1 ? 2 : undefined,
    stream: true,
    stream_options: { include_usage: true },
  });
}

interface Content {
  tokens: number;
  /** The response as JSON, without the split into events, which varies. */
  choices: string;
}

/** The text of a stream; undefined and counted if it is incomplete. */
function contentOf({ status, text }: Answer): Content | undefined {
  if (status !== 200 || !text.endsWith('data: [DONE]\n\n')) {
    result.lost++;
    return undefined;
  }
  const choices = new Map<number, { text: string; logprobs: unknown[]; finish: unknown }>();
  let tokens = 0;
  for (const part of text.split('\n\n').slice(0, -2)) {
    const data = JSON.parse(part.slice('data: '.length));
    tokens = data.usage?.completion_tokens ?? tokens;
    for (const choice of data.choices) {
      const all = choices.get(choice.index) ?? { text: '', logprobs: [], finish: null };
      all.text += choice.text;
      all.logprobs.push(...(choice.logprobs?.token_logprobs ?? []));
      all.finish ??= choice.finish_reason;
      choices.set(choice.index, all);
    }
  }
  const sorted = [...choices].sort(([a], [b]) => a - b);
  return { tokens, choices: JSON.stringify(sorted) };
}

/** Long prompts with one new token each. */
async function prefill(): Promise<undefined> {
  await eachClient(async () => {
    const prompt = Array.from({ length: 4000 }, () => 2 + Math.floor(random() * 2000));
    const { status } = await post(JSON.stringify({ prompt, max_tokens: 1 }));
    if (status === 200) result.answers++;
    else result.lost++;
    result.tokens += prompt.length;
  });
}

async function malformed(): Promise<undefined> {
  let left = options.count ?? 0;
  await Promise.all(
    Array.from({ length: options.clients }, async () => {
      while (left-- > 0) {
        if (left % 10 === 0) {
          await brokenRequest();
          result.statuses.broken = (result.statuses.broken ?? 0) + 1;
          continue;
        }
        const { status } = await post(malformedBody(), {
          path: oneOf(ROUTES),
          type: oneOf(TYPES),
          patience: 5000,
        });
        result.statuses[status] = (result.statuses[status] ?? 0) + 1;
        if (status === 500 || status === 0) result.lost++;
        else result.answers++;
      }
    }),
  );
}

/** Invalid HTTP, or a request that ends early. */
function brokenRequest(): Promise<void> {
  const { hostname, port } = new URL(options.url);
  const head = 'POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
  const texts = [
    'rubbish\r\n\r\n',
    `${head}Content-Length: 5000\r\n\r\n{"prompt":`,
    `${head}Content-Length: -1\r\n\r\n{}`,
    `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    `${head}Content-Length: 64\r\n\r\n{"prompt":"A bird","max_tokens":4000,"stream":true}            `,
    `GET /${'a'.repeat(random() * 100_000)} HTTP/1.1\r\n\r\n`,
  ];
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => socket.write(oneOf(texts)));
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.resume();
    setTimeout(() => socket.destroy(), 5 + random() * 50);
  });
}

function malformedBody(): Buffer {
  switch (Math.floor(random() * 6)) {
    case 0: // not JSON
      return Buffer.from(Array.from({ length: random() * 80 }, () => random() * 256));
    case 1: // deeply nested
      return Buffer.from(oneOf(['[', '{"a":', '{"prompt":[']).repeat(1 + random() * 3000));
    case 2: {
      // truncated, or with changed bytes
      const body = Buffer.from(validBody());
      for (let i = 0; i < 1 + random() * 4; i++)
        body[Math.floor(random() * body.length)] = random() * 256;
      return body.subarray(0, 1 + random() * body.length);
    }
    case 3: // long
      return Buffer.from(
        `{"prompt":"${oneOf(['a', ' ', '\\n', 'é', '{']).repeat(random() * 20_000)}"}`,
      );
    default: {
      const fields = Array.from({ length: random() * 5 }, () => `"${oneOf(FIELDS)}":${oneOf(ODD)}`);
      return Buffer.from(`{"prompt":"a","max_tokens":1${fields.map((f) => `,${f}`).join('')}}`);
    }
  }
}

function validBody(): string {
  return JSON.stringify({ prompt: 'A bird', max_tokens: 2, seed: 1, stop: ['x'], logprobs: 1 });
}

function oneOf<T>(items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error('nothing to choose from');
  return item;
}

async function eachClient(ask: () => Promise<void>): Promise<void> {
  const end = performance.now() + (options.seconds ?? 0) * 1000;
  await Promise.all(
    Array.from({ length: options.clients }, async () => {
      while (performance.now() < end) await ask();
    }),
  );
}

/** @returns status 0 if the connection failed, 499 if the client timed out */
function post(
  body: string | Buffer,
  {
    url = options.url,
    path = '/v1/completions',
    type = 'application/json',
    patience = 120_000,
  }: { url?: string | undefined; path?: string; type?: string; patience?: number } = {},
): Promise<Answer> {
  return new Promise((resolve) => {
    const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body) };
    const client = request(url + path, { method: 'POST', headers, agent }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', () => resolve({ status: client.destroyed ? 499 : 0, text }));
    });
    client.setTimeout(patience);
    const timer = setTimeout(() => {
      resolve({ status: 499, text: '' });
      client.destroy();
    }, patience);
    client.on('close', () => clearTimeout(timer));
    client.on('error', () => resolve({ status: 0, text: '' }));
    client.end(body);
  });
}

/** Random numbers in [0, 1) with a fixed seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
