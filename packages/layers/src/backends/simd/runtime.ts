// The runtime: the kernels' module, its memory and its threads.
import { ReadProbeArg } from '../../../assembly/core/args.js';
import { KernelId } from '../../../assembly/kernel_ids.js';
import type { ReadStrategy } from '../../../assembly/matmul/args.js';
import type { BlockAllocator } from '../native/memory.js';
import { Allocator } from './allocator.js';
import { ArgumentLayout } from './arguments.js';
import { compileKernels } from './compile_kernels.js';
import { ARGUMENT_COUNT, ARGUMENTS_WORD, CONTROL, FAILED_WORD } from './control.js';
import { createMemory } from './create_memory.js';
import { freeMemory, startWorkers } from './platform.js';
import { JobRecorder, type RecordedJobs } from './recorded_jobs.js';
import { chooseThreads } from './threads.js';
import {
  instantiate,
  type KernelExports,
  type WasmMemory,
  type WasmModule,
} from './webassembly.js';
import type { WorkerHandle } from './worker_data.js';

/** Options of the backend. */
export interface SimdOptions {
  /**
   * Number of threads, including the caller's; at most the cores that the process may use (CPU affinity and
   * cgroup quotas). Default: the environment variable RENE_THREADS, else all these cores.
   */
  threads?: number | undefined;
  /** Allow more threads than cores, which is slower. Default: false. */
  oversubscribe?: boolean | undefined;
  /** Set false to use plain SIMD even if the engine has relaxed SIMD. Default: true. */
  relaxedSimd?: boolean | undefined;
}

/** Address of the next job's arguments. */
const ARGUMENTS = CONTROL + ARGUMENTS_WORD * 4;
/** Reserved for states, activations and file buffers while weights are loaded. */
const WORKING_BYTES = 256 << 20;

const probeArguments = new ArgumentLayout(ReadProbeArg);

export class Runtime {
  /** Words of the next job's arguments, as integers and as numbers. */
  readonly args: Int32Array;
  readonly numbers: Float32Array;
  /** How matmuls with one row read their weights; undefined until a large step has timed the strategies. */
  readStrategy: ReadStrategy | undefined;
  /**
   * Whether integer matmuls sum four products with one instruction, if the engine has it. With int4 weights
   * the sums are the same; activations beside int8 weights have more steps.
   */
  hasInt8Dot4: boolean;
  /** Memory for one call's temporaries; while jobs are recorded, a stack shared by all. */
  readonly temporaries: BlockAllocator = {
    allocate: (bytes) => this.recording?.allocate(bytes) ?? this.allocate(bytes),
    release: (address) => {
      if (this.recording) this.recording.releaseTo(address);
      else this.release(address);
    },
  };
  private readonly allocator: Allocator;
  private workers: WorkerHandle | undefined;
  private scratch = 0;
  private scratchSize = 0;
  /** Receives the jobs while recording. */
  private recording: JobRecorder | undefined;

  private constructor(
    private readonly kernels: KernelExports,
    readonly memory: WasmMemory,
    /** Number of threads for which jobs are divided. */
    readonly threads: number,
    readonly relaxedSimd: boolean,
    maximumPages: number,
  ) {
    this.allocator = new Allocator(memory, maximumPages);
    this.hasInt8Dot4 = kernels.hasInt8Dot4() !== 0;
    this.args = new Int32Array(memory.buffer, ARGUMENTS, ARGUMENT_COUNT);
    this.numbers = new Float32Array(memory.buffer, ARGUMENTS, ARGUMENT_COUNT);
  }

  /**
   * Compiles the kernels and starts the workers. The first job need not wait for them: any running thread
   * computes it.
   *
   * @throws BackendError if WebAssembly SIMD, the kernels or memory are missing
   * @throws InvalidArgumentError if threads is not an integer from 1 to 1024
   */
  static async create(options: SimdOptions = {}): Promise<Runtime> {
    // A page shares memory with workers only if it is cross-origin isolated.
    const threads = typeof SharedArrayBuffer !== 'undefined' ? await chooseThreads(options) : 1;
    const { module, relaxed } = await compileKernels(options.relaxedSimd ?? true);
    const { memory, maximumPages } = createMemory();
    const kernels = instantiate(module, memory);
    const runtime = new Runtime(kernels, memory, threads, relaxed, maximumPages);
    runtime.startWorkers(module);
    return runtime;
  }

  private startWorkers(module: WasmModule): void {
    const { memory, threads } = this;
    const failedWord = CONTROL / 4 + FAILED_WORD;
    const all = Array.from({ length: threads - 1 }, (_, i) => ({
      ...{ module, memory, control: CONTROL, thread: i + 1, failedWord },
    }));
    let told = false;
    this.workers = startWorkers(all, ({ message }) => {
      if (!told) console.warn(`simd: a thread does not run; the others do its work. ${message}`);
      told = true;
    });
  }

  /**
   * Runs a kernel over units [0, units). Its arguments must be set in `args` and `numbers`.
   *
   * @param chunk minimum number of units that a thread takes at a time; with `units` or more, the caller
   *   computes all
   * @param scratch bytes of working memory per thread
   */
  run(id: KernelId, units: number, chunk: number, scratch = 0): void {
    if (units <= 0) return;
    const least = this.threads === 1 ? units : chunk;
    if (this.recording) {
      this.recording.add(id, units, least, scratch, this.args);
      return;
    }
    if (scratch > this.scratchSize) this.growScratch(scratch);
    this.kernels.run(
      CONTROL,
      id,
      units,
      least,
      this.threads * PARTS,
      ARGUMENTS,
      this.scratch,
      this.scratchSize,
    );
  }

  /** Bytes of temporaries for recorded jobs; `work` issues them. */
  rehearse(work: () => void): number {
    return this.withRecorder(new JobRecorder(0), work).peakBytes;
  }

  /**
   * Records the jobs that `work` issues, without running them. The caller releases their address.
   *
   * @param temporaries address of as many bytes as rehearse() returned
   */
  record(work: () => void, temporaries: number): RecordedJobs {
    const { jobs, count, scratch } = this.withRecorder(new JobRecorder(temporaries), work);
    const address = this.allocate(jobs.byteLength);
    this.ints(address, jobs.length).set(jobs);
    return { address, count, scratch };
  }

  /**
   * Runs recorded jobs one after the other. Threads take equal shares: a step's units have equal cost, and
   * each new stretch of memory starts slowly.
   */
  replay({ address, count, scratch }: RecordedJobs): void {
    if (scratch > this.scratchSize) this.growScratch(scratch);
    this.kernels.replay(CONTROL, address, count, this.threads, this.scratch, this.scratchSize);
  }

  private withRecorder(recorder: JobRecorder, work: () => void): JobRecorder {
    this.recording = recorder;
    try {
      work();
    } finally {
      this.recording = undefined;
    }
    return recorder;
  }

  /** Minimum number of units for a thread if each costs about `cost` multiply-adds. */
  chunk(cost: number): number {
    return Math.ceil(MINIMAL_WORK / Math.max(1, cost));
  }

  allocate(bytes: number): number {
    return this.allocator.allocate(bytes);
  }

  release(address: number): void {
    this.allocator.release(address);
  }

  get usedBytes(): number {
    return this.allocator.usedBytes;
  }

  /** The size to which the memory can grow: 4 GiB, or less where the platform refuses that. */
  get maximumBytes(): number {
    return this.allocator.maximumBytes;
  }

  /** Free bytes for weights, less a reserve for what is computed with them. */
  get availableBytes(): number {
    return Math.max(0, Math.min(this.allocator.freeBytes, freeMemory()) - WORKING_BYTES);
  }

  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, address, length);
  }

  floats(address: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, address, length);
  }

  ints(address: number, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, address, length);
  }

  /** Reads [address, address + bytes) once with all threads, at full memory bandwidth. */
  read(address: number, bytes: number): void {
    const units = Math.floor(bytes / 65536);
    const result = this.allocate(64);
    probeArguments.write(this, { from: address, digest: result });
    this.run(KernelId.ReadProbe, units, this.chunk(65536));
    this.release(result);
  }

  dispose(): void {
    this.workers?.terminate();
  }

  private growScratch(bytes: number): void {
    if (this.scratch !== 0) this.release(this.scratch);
    this.scratch = 0;
    this.scratchSize = 0;
    const size = Math.ceil(bytes / 4096) * 4096;
    this.scratch = this.allocate(size * this.threads);
    this.scratchSize = size;
  }
}

/** Multiply-adds below which a second thread costs more than it saves. */
const MINIMAL_WORK = 16384;
/**
 * A thread takes this share of its part of the remaining units, so that the last pieces are small. Not in
 * replay().
 */
const PARTS = 2;
