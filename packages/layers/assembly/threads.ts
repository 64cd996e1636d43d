// Fork and join over shared memory: one job at a time, whose units threads claim in chunks.
//
// A job is published as a ticket, (job number << 32
// next unit). A thread claims a chunk by advancing the ticket, which fails if the job has ended. So nobody
// waits for threads that are late, not started or gone, only for claimed units.
import { dispatch } from './dispatch';

// The control block, in bytes. Words written by different threads are on different cache lines.
const TICKET: usize = 0;
const JOB_NUMBER: usize = 4;
const COMPLETED: usize = 64;
const KERNEL: usize = 128;
const UNITS: usize = 132;
const CHUNK: usize = 136;
const SCRATCH: usize = 140;
const SCRATCH_SIZE: usize = 144;
/** A thread claims this fraction of the remaining units, at least CHUNK units. */
const PARTS: usize = 148;
/** Address of the job's arguments. */
const ARGS: usize = 152;
const SLEEPERS: usize = 192;
/** Set by the host when a worker failed in a kernel, so that the caller does not wait for its units. */
const FAILED: usize = 196;

// A recorded job, in bytes: the parameters of run(), then the argument words.
const JOB_KERNEL: usize = 0;
const JOB_UNITS: usize = 4;
const JOB_CHUNK: usize = 8;
const JOB_ARGS: usize = 16;
const JOB_BYTES: usize = 272;

const CLOSED: i32 = 0x7fffffff;
/** How often a worker checks the ticket before it sleeps: about 100 microseconds. */
const SPINS: i32 = 40000;

/** Runs kernel `id` over units [0, units), at least `chunk` at a time, on all awake threads. */
export function run(
  control: usize,
  id: i32,
  units: i32,
  chunk: i32,
  parts: i32,
  args: usize,
  scratch: usize,
  scratchSize: usize,
): void {
  if (units <= chunk) {
    dispatch(id, args, 0, units, scratch);
    return;
  }
  store<i32>(control, id, KERNEL);
  store<i32>(control, units, UNITS);
  store<i32>(control, chunk, CHUNK);
  store<i32>(control, parts, PARTS);
  store<usize>(control, args, ARGS);
  store<usize>(control, scratch, SCRATCH);
  store<usize>(control, scratchSize, SCRATCH_SIZE);
  atomic.store<i32>(control, 0, COMPLETED);
  const job = <i64>(load<u32>(control, JOB_NUMBER) + 1);
  atomic.store<i64>(control, job << 32, TICKET);
  if (atomic.load<i32>(control, SLEEPERS) > 0) atomic.notify(control + JOB_NUMBER, -1);
  work(control, 0);
  while (atomic.load<i32>(control, COMPLETED) < units) {
    if (atomic.load<i32>(control, FAILED) !== 0) unreachable();
  }
  atomic.store<i32>(control, CLOSED, TICKET);
}

/** Runs `count` recorded jobs, one after the other. */
export function replay(
  control: usize,
  jobs: usize,
  count: i32,
  parts: i32,
  scratch: usize,
  scratchSize: usize,
): void {
  for (let job = jobs; job < jobs + <usize>count * JOB_BYTES; job += JOB_BYTES) {
    run(
      control,
      load<i32>(job, JOB_KERNEL),
      load<i32>(job, JOB_UNITS),
      load<i32>(job, JOB_CHUNK),
      parts,
      job + JOB_ARGS,
      scratch,
      scratchSize,
    );
  }
}

/** Claims and computes units of the current job until none remain. */
function work(control: usize, thread: usize): void {
  while (true) {
    const ticket = atomic.load<i64>(control, TICKET);
    const begin = <i32>ticket;
    const units = load<i32>(control, UNITS);
    if (begin >= units) return;
    // A share of the remaining units: large at first, small at the end, when threads wait for each other.
    const share = (units - begin) / load<i32>(control, PARTS);
    const end = min(begin + max(share, load<i32>(control, CHUNK)), units);
    const next = ticket + <i64>(end - begin);
    if (atomic.cmpxchg<i64>(control, ticket, next, TICKET) !== ticket) continue;
    const scratch = load<usize>(control, SCRATCH) + thread * load<usize>(control, SCRATCH_SIZE);
    dispatch(load<i32>(control, KERNEL), load<usize>(control, ARGS), begin, end, scratch);
    atomic.add<i32>(control, end - begin, COMPLETED);
  }
}

/** A worker's main loop: work, poll for the next job for a while, then sleep until there is one. */
export function serve(control: usize, thread: usize): void {
  while (true) {
    const seen = atomic.load<i32>(control, JOB_NUMBER);
    work(control, thread);
    let spins = SPINS;
    while (spins > 0 && atomic.load<i32>(control, JOB_NUMBER) === seen) spins--;
    if (spins === 0) {
      atomic.add<i32>(control, 1, SLEEPERS);
      atomic.wait<i32>(control + JOB_NUMBER, seen, -1);
      atomic.sub<i32>(control, 1, SLEEPERS);
    }
  }
}
