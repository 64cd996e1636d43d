// Jobs recorded once and run again and again, without the host in between.

import type { KernelId } from '../../../assembly/kernel_ids.js';
import { JOB_WORDS } from './control.js';

/** Where recorded jobs stand, how many they are, and the scratch that each thread needs for them. */
export interface RecordedJobs {
  readonly address: number;
  readonly count: number;
  readonly scratch: number;
}

/** Takes jobs in place of the threads. Their temporaries stand on top of each other from `base` on. */
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

  /** The address of so many bytes, until releaseTo(). */
  allocate(bytes: number): number {
    const address = this.top;
    this.top += Math.ceil(bytes / LINE) * LINE;
    this.highest = Math.max(this.highest, this.top);
    return address;
  }

  /** Frees the block at an address, and all that were allocated after it. */
  releaseTo(address: number): void {
    this.top = address;
  }

  /** The most bytes that were allocated at a time. */
  get peakBytes(): number {
    return this.highest - this.base;
  }

  get count(): number {
    return this.words.length / JOB_WORDS;
  }

  /** The jobs as assembly/threads.ts reads them. */
  get jobs(): Int32Array {
    return Int32Array.from(this.words);
  }
}

const LINE = 64;
