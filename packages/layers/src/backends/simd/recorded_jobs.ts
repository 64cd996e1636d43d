// Jobs that are recorded once and replayed without JavaScript in between.

import type { KernelId } from '../../../assembly/kernel_ids.js';
import { JOB_WORDS } from './control.js';

/** Address and number of recorded jobs, and the scratch memory that each thread needs for them. */
export interface RecordedJobs {
  readonly address: number;
  readonly count: number;
  readonly scratch: number;
}

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
  private readonly words: number[] = [];
  private top: number;
  private highest: number;
  scratch = 0;

  constructor(private readonly base: number) {
    this.top = base;
    this.highest = base;
  }

  add(id: KernelId, units: number, chunk: number, scratch: number, args: Int32Array): void {
    this.words.push(id, units, chunk, 0, ...args);
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
    return this.words.length / JOB_WORDS;
  }

  /** The jobs in the format of assembly/threads.ts. */
  get jobs(): Int32Array {
    return Int32Array.from(this.words);
  }
}

const LINE = 64;
