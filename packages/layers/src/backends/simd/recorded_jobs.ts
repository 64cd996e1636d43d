// Jobs that are recorded once and replayed without JavaScript in between.

import type { KernelId } from '../../../assembly/kernel_ids.js';
import { JOB_ARGUMENTS, JOB_WORDS } from './control.js';

/** Address and number of recorded jobs, and the scratch memory that each thread needs for them. */
export interface RecordedJobs {
  readonly address: number;
  readonly count: number;
  readonly scratch: number;
}

const FIRST_JOBS = 32;
/** Jobs of a piece: some blocks of a model have this many. */
const PIECE = 8;

/** The jobs in pieces, to be replayed in this order. */
export function piecesOf({ address, count, scratch }: RecordedJobs): RecordedJobs[] {
  return Array.from({ length: Math.ceil(count / PIECE) }, (_, i) => ({
    address: address + i * PIECE * JOB_WORDS * 4,
    count: Math.min(PIECE, count - i * PIECE),
    scratch,
  }));
}

/** Records jobs instead of running them. Their temporaries are stacked from `base` on. */
export class JobRecorder {
  /** The jobs in the format of assembly/threads.ts, and room for more. */
  private words = new Int32Array(FIRST_JOBS * JOB_WORDS);
  private used = 0;
  private top: number;
  private highest: number;
  scratch = 0;

  constructor(private readonly base: number) {
    this.top = base;
    this.highest = base;
  }

  add(id: KernelId, units: number, chunk: number, scratch: number, args: Int32Array): void {
    if (this.used === this.words.length) {
      const longer = new Int32Array(2 * this.used);
      longer.set(this.words);
      this.words = longer;
    }
    this.words.set([id, units, chunk, 0], this.used);
    this.words.set(args, this.used + JOB_ARGUMENTS);
    this.used += JOB_WORDS;
    this.scratch = Math.max(this.scratch, scratch);
  }

  /** Allocates on the stack, until releaseTo(). */
  allocate(bytes: number): number {
    const address = this.top;
    this.top += Math.ceil(bytes / LINE) * LINE;
    this.highest = Math.max(this.highest, this.top);
    return address;
  }

  /** Frees the block at an address and all later ones. */
  releaseTo(address: number): void {
    this.top = address;
  }

  /** Peak size of the stack. */
  get peakBytes(): number {
    return this.highest - this.base;
  }

  get count(): number {
    return this.used / JOB_WORDS;
  }

  get jobs(): Int32Array {
    return this.words.subarray(0, this.used);
  }
}

const LINE = 64;
