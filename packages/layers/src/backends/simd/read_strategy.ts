// How matmuls of one row read their weights from memory. The fastest way depends on the processor, which the
// caller cannot know, so the first large decode step times them.
//
// AMD's Zen 3 and Zen 5 prefetch beyond a page: two interleaved streams are faster than one (1.05 to 1.5 times),
// and prefetching the next page by hand interrupts them (0.75 to 0.95 times). A Zen 4 waits at the start of each
// page that was not prefetched (1.15 to 1.25 times as fast with it).
import { KernelId } from '../../../assembly/kernel_ids.js';
import { IntMatMulArg, MatMulArg, ReadStrategy } from '../../../assembly/matmul/args.js';
import { JOB_ARGUMENTS, JOB_WORDS } from './control.js';
import { panelBytes } from './layout.js';
import type { RecordedJobs } from './recorded_jobs.js';
import type { Runtime } from './runtime.js';

/**
 * Used until one is chosen: in caches, two interleaved panels take fewer instructions than one after the
 * other.
 */
export const FIRST_STRATEGY: ReadStrategy = ReadStrategy.TwoStreams;
/** The alternatives. One stream without prefetching was never the fastest. */
const OTHER_STRATEGIES: readonly ReadStrategy[] = [
  ReadStrategy.TwoStreams | ReadStrategy.PrefetchPages,
  ReadStrategy.PrefetchPages,
];
/** More weights than fit in the caches. */
const ENOUGH_BYTES = 128 << 20;
const ROUNDS = 11;
/** Another strategy must take at most this share of the first one's time. */
const WORTH_CHANGING = 0.99;

/** The argument word of a job with the strategy. */
const STRATEGY = JOB_ARGUMENTS + MatMulArg.readStrategy;

/**
 * Times the strategies on the matmuls of a recorded step for one sequence. The fastest one is set in that
 * step and for later recordings. Results are bitwise identical with each.
 *
 * The jobs must have run before, so that they multiply real values, and they run again: their outputs must
 * not be in use. The last one, the head, is left out.
 *
 * @param enough bytes of weights to read for each timing. Default: 128 MiB.
 * @returns the fastest; undefined, and nothing is set, if the step has fewer weights
 */
export function chooseReadStrategy(
  runtime: Runtime,
  step: RecordedJobs,
  enough = ENOUGH_BYTES,
): ReadStrategy | undefined {
  const words = runtime.ints(step.address, step.count * JOB_WORDS);
  const matMuls: Int32Array[] = [];
  for (let at = 0; at < words.length; at += JOB_WORDS) {
    const job = words.subarray(at, at + JOB_WORDS);
    if (weightBytes(job) > 0) matMuls.push(job);
  }
  const timed: Int32Array[] = [];
  let bytes = 0;
  for (const job of matMuls.slice(0, -1)) {
    if (bytes >= enough) break;
    timed.push(job);
    bytes += weightBytes(job);
  }
  if (bytes < enough) return undefined;
  const fastest = timeStrategies(runtime, timed, step.scratch);
  for (const job of matMuls) job[STRATEGY] = fastest;
  runtime.readStrategy = fastest;
  return fastest;
}

/** Bytes of the weight that a job multiplies with one row; 0 for other jobs. */
function weightBytes(job: Int32Array): number {
  const word = (argument: MatMulArg | IntMatMulArg) => job[JOB_ARGUMENTS + argument] ?? 0;
  if (word(MatMulArg.rows) !== 1) return 0;
  const [panels, columns] = [word(MatMulArg.panels), word(MatMulArg.columns)];
  switch (job[0]) {
    case KernelId.MatMulInt8:
      return panels * panelBytes('int8', columns, word(IntMatMulArg.group));
    case KernelId.MatMulInt4:
      return panels * panelBytes('int4', columns, word(IntMatMulArg.group));
    case KernelId.MatMulBf16:
      return panels * panelBytes('bf16', columns, 0);
    default:
      return 0;
  }
}

/** The fastest strategy on these jobs. Measurements are interleaved, since a machine's speed varies. */
function timeStrategies(
  runtime: Runtime,
  jobs: readonly Int32Array[],
  scratch: number,
): ReadStrategy {
  const address = runtime.allocate(jobs.length * JOB_WORDS * 4);
  const words = runtime.ints(address, jobs.length * JOB_WORDS);
  jobs.forEach((job, i) => {
    words.set(job, i * JOB_WORDS);
  });
  const time = (strategy: ReadStrategy) => {
    for (let at = 0; at < words.length; at += JOB_WORDS) words[at + STRATEGY] = strategy;
    const start = performance.now();
    runtime.replay({ address, count: jobs.length, scratch });
    return performance.now() - start;
  };
  const ratios = OTHER_STRATEGIES.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    const first = time(FIRST_STRATEGY);
    OTHER_STRATEGIES.forEach((strategy, i) => {
      ratios[i]?.push(time(strategy) / first);
    });
  }
  runtime.release(address);
  let fastest = FIRST_STRATEGY;
  let least = WORTH_CHANGING;
  OTHER_STRATEGIES.forEach((strategy, i) => {
    const ratio = median(ratios[i] ?? []);
    if (ratio >= least) return;
    fastest = strategy;
    least = ratio;
  });
  return fastest;
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 1;
}
