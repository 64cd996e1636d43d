// Speed of evaluation: shared prefixes with cloned states, compared with one forward per request and one per
// context, on the same documents.
//
//   node benchmarks/dist/evaluation.js REFERENCES [--model medium|1.3B|rene-tiny] [--backend simd]
//     [--dtype bf16] [--rounds 3] [--sample 5] [--documents 30] [--tasks copa,...] [--batch_size N]
//     [--clock wall|cpu]
//
// REFERENCES is a folder of TASK.jsonl with requests, as printed by `rene eval --requests --tokenizer ...`.
// 'medium' and '1.3B' have random weights and OLMo's vocabulary, whose ids the lines contain; another model
// encodes the lines' texts itself. The engines are interleaved. One forward per request is batched by length
// and computes the head for scored tokens only, as ours does. One per request and one per context do not
// share work between documents, so they are timed on every --sample-th document and scaled by the number of
// tokens. Log-likelihoods must agree with those of one forward per request.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Loglikelihood, ReneScorer, type TokenRequest } from '@rene-js/cli/evaluation';
import {
  type ReneConfig,
  ReneLMHeadModel,
  reneConfig,
  reneConfig1_3B,
  Tokenizer,
} from '@rene-js/rene';
import * as tf from '@tensorflow/tfjs-core';

const ZERO_SHOT = 'copa,hellaswag,piqa,arc_easy,arc_challenge,winogrande,openbookqa';
const MMLU = 'mmlu_abstract_algebra,mmlu_anatomy,mmlu_high_school_european_history';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'medium' },
    backend: { type: 'string', default: 'simd' },
    dtype: { type: 'string', default: 'bf16' },
    rounds: { type: 'string', default: '3' },
    sample: { type: 'string', default: '5' },
    tasks: { type: 'string', default: `${ZERO_SHOT},${MMLU}` },
    batch_size: { type: 'string' },
    documents: { type: 'string', default: '30' },
    clock: { type: 'string', default: 'wall' },
  },
});
const [folder = ''] = positionals;
const sample = Number(values.sample);

/** Rene's 48 blocks at a quarter of their width: 102 M parameters, of which the head is 26 M. */
const medium = reneConfig({
  ...{ dModel: 512, nLayer: 48, vocabSize: 50280 },
  ssm: { dState: 128, headDim: 64 },
  attnLayerIdx: [6, 18, 30, 42],
  attn: { numHeads: 8, headDim: 64, slidingWindowLength: 2048 },
  mlpLayerIdx: [0, 12, 24, 36].flatMap((i) => [i + 2, i + 5, i + 8, i + 11]),
  mlp: { expand: 3 },
});

/** Requests of one task, one list per document. */
type Documents = readonly (readonly TokenRequest[])[];

const dtype = values.dtype === 'f32' ? 'f32' : values.dtype === 'int8' ? 'int8' : 'bf16';
const loading = { backend: values.backend, dtype } as const;
const configs: Record<string, ReneConfig | undefined> = { medium, '1.3B': reneConfig1_3B };
const config = configs[values.model];
const model = config
  ? await ReneLMHeadModel.fromConfig(config, loading)
  : await ReneLMHeadModel.fromPretrained(values.model, loading);
const tokenizer = config ? undefined : await Tokenizer.fromPretrained(values.model);
const batchSize = values.batch_size === undefined ? 'auto' : Number(values.batch_size);
const encoder = { encode: (text: string) => tokenizer?.encode(text) ?? [], eosTokenId: 50279 };
const shared = new ReneScorer(model, encoder, { batchSize });
const alone = new ReneScorer(model, encoder, { batchSize, minShared: Number.POSITIVE_INFINITY });

interface Times {
  request: number;
  context: number;
  shared: number;
}

const tasks = values.tasks.split(',').map((name) => ({ name, documents: readDocuments(name) }));
console.log(
  `${values.model} (${dtype}) on ${tf.getBackend()}, node ${process.version}; baselines on every ${sample}. document`,
);
const rounds: Map<string, Times>[] = [];
for (let i = 0; i < Number(values.rounds); i++) {
  const round = new Map<string, Times>();
  for (const { name, documents } of tasks) round.set(name, await measure(documents));
  rounds.push(round);
}
for (const { name, documents } of tasks) report(name, [name], countTokens(documents));
report('the 0-shot tasks together', ZERO_SHOT.split(','));
report('MMLU together', MMLU.split(','));
process.exit(0);

async function measure(documents: Documents): Promise<Times> {
  const sampled = documents.filter((_, i) => i % sample === 0);
  const scale = fedTokens(documents.flat()) / fedTokens(sampled.flat());
  const ours = await timed(shared, documents.flat());
  const request = await timed(alone, sampled.flat());
  // A continuation of one token is scored by the context's own forward.
  const perContext = sampled.flatMap((requests) => [
    ...new Map(requests.map(byFedTokens)).values(),
  ]);
  const context = await timed(alone, perContext);
  compare(documents, ours.found, request.found);
  return {
    shared: ours.seconds,
    request: request.seconds * scale,
    context: context.seconds * scale,
  };
}

function byFedTokens(request: TokenRequest): [string, TokenRequest] {
  return [[...request.contextIds, ...request.continuationIds].slice(0, -1).join(), request];
}

async function timed(scorer: ReneScorer, requests: readonly TokenRequest[]) {
  const start = clock();
  const found = await scorer.loglikelihoods(requests);
  return { found, seconds: clock() - start };
}

/** Seconds. CPU time excludes time that other processes took. */
function clock(): number {
  if (values.clock !== 'cpu') return performance.now() / 1000;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Throws unless both agree on the sampled documents. */
function compare(
  documents: Documents,
  ours: readonly Loglikelihood[],
  plain: readonly Loglikelihood[],
): void {
  let next = 0;
  const sampledOurs = documents.flatMap((requests, i) => {
    const own = ours.slice(next, next + requests.length);
    next += requests.length;
    return i % sample === 0 ? own : [];
  });
  sampledOurs.forEach(({ loglikelihood }, i) => {
    const expected = plain[i]?.loglikelihood ?? Number.NaN;
    if (Math.abs(loglikelihood - expected) < 1e-3) return;
    throw new Error(`request ${i}: ${loglikelihood} from shared prefixes, ${expected} alone`);
  });
}

/** Medians over the rounds of the sums over several tasks. */
function report(title: string, names: readonly string[], tokens = ''): void {
  const sums = rounds.map((round) => {
    const times = names.flatMap((name) => round.get(name) ?? []);
    const sum = (key: keyof Times) => times.reduce((total, t) => total + t[key], 0);
    return {
      count: times.length,
      request: sum('request'),
      context: sum('context'),
      shared: sum('shared'),
    };
  });
  if (sums.some(({ count }) => count < names.length)) return;
  const ratio = (key: 'request' | 'context') =>
    median(sums.map((times) => times[key] / times.shared)).toFixed(2);
  console.log(
    `${title.padEnd(34)} ${tokens.padEnd(40)} shared ${median(sums.map((t) => t.shared)).toFixed(2)} s; ` +
      `against one forward a request ${ratio('request')}, a context ${ratio('context')}`,
  );
}

function countTokens(documents: Documents): string {
  const requests = documents.flat();
  return `${documents.length} documents, ${requests.length} requests, ${fedTokens(requests)} tokens`;
}

/** The tokens of one forward per request. The last token is only predicted. */
function fedTokens(requests: readonly TokenRequest[]): number {
  return requests.reduce((sum, r) => sum + r.contextIds.length + r.continuationIds.length - 1, 0);
}

function readDocuments(name: string): Documents {
  const text = readFileSync(join(folder, `${name}.jsonl`), 'utf8');
  return text
    .trim()
    .split('\n')
    .slice(0, Number(values.documents))
    .map((line) => requestsOf(JSON.parse(line)));
}

interface Line {
  ctx?: string;
  contexts?: string[];
  continuation?: string;
  continuations?: string[];
  context_ids: number[] | number[][];
  continuation_ids: number[][];
}

function requestsOf(line: Line): TokenRequest[] {
  return line.continuation_ids.map((continuationIds, i) => {
    if (!tokenizer) return { contextIds: contextIdsOf(line, i), continuationIds };
    const context = line.contexts?.[i] ?? line.ctx ?? '';
    const whole = tokenizer.encode(context + (line.continuations?.[i] ?? line.continuation ?? ''));
    const contextIds = tokenizer.encode(context);
    return { contextIds, continuationIds: whole.slice(contextIds.length) };
  });
}

function contextIdsOf({ context_ids }: Line, i: number): number[] {
  const own = context_ids[i];
  return Array.isArray(own) ? own : context_ids.filter((id) => typeof id === 'number');
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
