// How the products of one row read their weights from memory: what is fastest differs from processor to processor, and
// the caller cannot know which one it is, so the first large step that is decoded finds out.
//
// On AMD's Zen 3 and Zen 5, which read on beyond a page, two places read in turns bring more than one (1.05 to
// 1.5 times), and asking for the next page breaks the reading ahead off (0.75 to 0.95 times as fast); a Zen 4 waits at the
// start of each page unless somebody asked for it before (1.15 to 1.25 times as fast with it).
import { JOB_WORDS } from './control.js';
import { KernelId, Reading } from './kernel_ids.js';
import { panelBytes } from './layout.js';
import type { RecordedJobs } from './recorded_jobs.js';
import type { Runtime } from './runtime.js';

/** How weights are read until a way is chosen: from caches two panels take fewer instructions than one and one. */
export const FIRST_READING: Reading = Reading.TwoPlaces;
/** The others. One place without asking was the fastest on no processor. */
const OTHER_READINGS: readonly Reading[] = [
  Reading.TwoPlaces | Reading.AsksForPages,
  Reading.AsksForPages,
];
/** Weights beyond the caches. */
const ENOUGH_BYTES = 128 << 20;
const ROUNDS = 11;
/** Another way than the first must take at most this much of its time. */
const WORTH_CHANGING = 0.99;

/** A job's words: after the four that say what runs, the arguments, see assembly/matmul.ts. */
const ROWS = 4 + 3;
const COLUMNS = 4 + 5;
const GROUP = 4 + 11;
const PANELS = 4 + 12;
const READING = 4 + 22;

/**
 * Times the ways on the products of a recorded step of one row, has that step and what is recorded from now on read in
 * the fastest, and returns it; undefined, and nothing done, where the step has too few weights to tell. The jobs must
 * have run before, so that they multiply real numbers, and run again: what the products write has to be of no use to
 * anybody but for the last of them, the head, which is left out. The results are the same to the bit.
 *
 * @param enough bytes of weights to read each time; 128 MiB unless given
 */
export function chooseReading(
  runtime: Runtime,
  step: RecordedJobs,
  enough = ENOUGH_BYTES,
): Reading | undefined {
  const words = runtime.ints(step.address, step.count * JOB_WORDS);
  const products: Int32Array[] = [];
  for (let at = 0; at < words.length; at += JOB_WORDS) {
    const job = words.subarray(at, at + JOB_WORDS);
    if (weightBytes(job) > 0) products.push(job);
  }
  const timed: Int32Array[] = [];
  let bytes = 0;
  for (const job of products.slice(0, -1)) {
    if (bytes >= enough) break;
    timed.push(job);
    bytes += weightBytes(job);
  }
  if (bytes < enough) return undefined;
  const fastest = timeWays(runtime, timed, step.scratch);
  for (const job of products) job[READING] = fastest;
  runtime.reading = fastest;
  return fastest;
}

/** Bytes of the weight that a job multiplies one row by; 0 for other jobs. */
function weightBytes(job: Int32Array): number {
  const [kernel, panels = 0, columns = 0, group = 0] = [
    job[0],
    job[PANELS],
    job[COLUMNS],
    job[GROUP],
  ];
  if (job[ROWS] !== 1) return 0;
  switch (kernel) {
    case KernelId.MatMulInt8:
      return panels * panelBytes('int8', columns, group);
    case KernelId.MatMulInt4:
      return panels * panelBytes('int4', columns, group);
    case KernelId.MatMulBf16:
      return panels * panelBytes('bf16', columns, 0);
    default:
      return 0;
  }
}

/** The way that takes jobs the least time: in turns, as a machine's speed changes by the second. */
function timeWays(runtime: Runtime, jobs: readonly Int32Array[], scratch: number): Reading {
  const address = runtime.allocate(jobs.length * JOB_WORDS * 4);
  const words = runtime.ints(address, jobs.length * JOB_WORDS);
  jobs.forEach((job, i) => {
    words.set(job, i * JOB_WORDS);
  });
  const time = (way: Reading) => {
    for (let at = 0; at < words.length; at += JOB_WORDS) words[at + READING] = way;
    const start = performance.now();
    runtime.replay({ address, count: jobs.length, scratch });
    return performance.now() - start;
  };
  const ratios = OTHER_READINGS.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    const first = time(FIRST_READING);
    OTHER_READINGS.forEach((way, i) => {
      ratios[i]?.push(time(way) / first);
    });
  }
  runtime.release(address);
  let fastest = FIRST_READING;
  let least = WORTH_CHANGING;
  OTHER_READINGS.forEach((way, i) => {
    const ratio = median(ratios[i] ?? []);
    if (ratio >= least) return;
    fastest = way;
    least = ratio;
  });
  return fastest;
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 1;
}
