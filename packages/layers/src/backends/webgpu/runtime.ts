// Launches, copies and transfers on a WebGPU device, in the order of the calls.
import { BackendError } from '../../errors.js';
import type { Address } from '../native/address.js';
import { bind } from './bindings.js';
import { BufferPool } from './buffer_pool.js';
import { Buffers } from './buffers.js';
import { Failures } from './failures.js';
import { argumentWords, type Kernel } from './kernel.js';
import { encode, type Launch, type Recording } from './launch.js';
import { Pipelines } from './pipelines.js';
import { Uniforms } from './uniforms.js';

/** Workgroups along x, y and z. */
export type Grid = readonly [x: number, y?: number, z?: number];

const GPU_WORKGROUP = 64;
/** A device in software runs the invocations in turns, and a barrier is a turn of each. */
const SOFTWARE_WORKGROUP = 8;

/** The most launches that are encoded before they are submitted. */
const SLOTS = 1024;
/** Launches of a decode step, of any model. */
const RECORDING_SLOTS = 4096;

/** Uploaded bytes after which loading waits for the GPU. */
const MOST_UNSETTLED_BYTES = 64 << 20;

interface Recorder {
  readonly launches: Launch[];
  readonly uniforms: Uniforms;
  weightBytes: number;
}

export class WebGpuRuntime {
  readonly buffers = new Buffers();
  readonly pool: BufferPool;
  readonly failures: Failures;
  /** Launches since the start, and the bytes of weights that they read. */
  launches = 0;
  weightBytes = 0;
  private unsettledBytes = 0;
  private readonly pipelines: Pipelines;
  private readonly uniforms: Uniforms;
  private encoder: GPUCommandEncoder | undefined;
  private pass: GPUComputePassEncoder | undefined;
  private recorder: Recorder | undefined;
  private empty: Address | undefined;

  /**
   * @param submitOthers submits what others have encoded for this device's queue, before ours
   * @param isSoftware whether the device is software on the CPU
   */
  constructor(
    readonly device: GPUDevice,
    private readonly submitOthers: () => void,
    readonly isSoftware: boolean,
  ) {
    this.pool = new BufferPool(device, this.buffers, () => this.submit());
    this.pipelines = new Pipelines(device);
    this.uniforms = new Uniforms(device, SLOTS);
    this.failures = new Failures(device, () => this.pool.distrust());
  }

  /** A place for tensors without values. */
  get emptyAddress(): Address {
    this.empty ??= this.pool.allocate(4);
    return this.empty;
  }

  /** Invocations of the workgroups that reduce sums. */
  get workgroup(): number {
    return this.isSoftware ? SOFTWARE_WORKGROUP : GPU_WORKGROUP;
  }

  /** Workgroups that a launch may have in each dimension. */
  get mostWorkgroups(): number {
    return this.device.limits.maxComputeWorkgroupsPerDimension;
  }

  get hasSubgroups(): boolean {
    return this.device.features.has('subgroups');
  }

  /**
   * Runs a kernel.
   *
   * @param memory addresses by the kernel's names; 0 for what is absent
   * @param scalars the kernel's integers and floats
   * @param weightBytes bytes of weights that it reads, for the counts of benchmarks
   */
  launch(
    kernel: Kernel,
    grid: Grid,
    memory: Readonly<Record<string, Address>>,
    scalars: Readonly<Record<string, number>>,
    weightBytes = 0,
  ): void {
    if (grid.some((count) => count === 0)) return;
    this.checkGrid(kernel, grid);
    this.failures.throwIfLost();
    const { recorder } = this;
    if (recorder) {
      recorder.launches.push(this.prepare(recorder.uniforms, kernel, grid, memory, scalars));
      recorder.weightBytes += weightBytes;
      return;
    }
    this.launches++;
    this.weightBytes += weightBytes;
    if (this.uniforms.isFull) this.submit();
    encode(this.openPass(), this.prepare(this.uniforms, kernel, grid, memory, scalars));
  }

  copy(to: Address, from: Address, bytes: number): void {
    if (bytes === 0) return;
    const [source, target] = [this.buffers.at(from), this.buffers.at(to)];
    if (source.buffer === target.buffer) {
      // WebGPU copies between two buffers only.
      const between = this.pool.allocate(bytes);
      this.copy(between, from, bytes);
      this.copy(to, between, bytes);
      this.pool.release(between);
      return;
    }
    this.openEncoder().copyBufferToBuffer(
      source.buffer,
      source.offset,
      target.buffer,
      target.offset,
      bytes,
    );
  }

  upload(to: Address, bytes: Uint8Array): void {
    this.refuseRecording('an upload');
    if (bytes.length === 0) return;
    // A write comes before everything that is submitted later.
    this.submit();
    this.unsettledBytes += bytes.length;
    const { buffer, offset } = this.buffers.at(to);
    const whole = bytes.length % 4 === 0 ? bytes : padded(bytes);
    this.device.queue.writeBuffer(buffer, offset, whole.buffer, whole.byteOffset, whole.byteLength);
  }

  /** Waits for the GPU after many uploads, since the host holds a copy of each until then. */
  async settleUploads(): Promise<void> {
    if (this.unsettledBytes < MOST_UNSETTLED_BYTES) return;
    this.submit();
    this.unsettledBytes = 0;
    await this.device.queue
      .onSubmittedWorkDone()
      .catch((cause) => this.failures.throwReason(cause));
    this.failures.throwIfLost();
  }

  async download(into: Uint8Array, from: Address): Promise<void> {
    this.refuseRecording('reading values');
    if (into.length === 0) return;
    const { buffer, offset } = this.buffers.at(from);
    const size = Math.ceil(into.length / 4) * 4;
    const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
    const staging = this.device.createBuffer({ size, usage });
    try {
      this.openEncoder().copyBufferToBuffer(buffer, offset, staging, 0, size);
      this.submit();
      await this.map(staging);
      into.set(new Uint8Array(staging.getMappedRange()).subarray(0, into.length));
    } finally {
      staging.destroy();
    }
  }

  /** Maps a buffer for reading. @throws BackendError if the device has failed */
  async map(buffer: GPUBuffer): Promise<void> {
    await buffer.mapAsync(GPUMapMode.READ).catch((cause) => this.failures.throwReason(cause));
    this.failures.throwFirst();
  }

  /** Submits what has been encoded. */
  submit(): void {
    if (!this.encoder) return;
    this.submitOthers();
    this.closePass();
    this.uniforms.write();
    this.device.queue.submit([this.encoder.finish()]);
    this.encoder = undefined;
    this.uniforms.reset();
  }

  /** The launches of `work`, which are not run. */
  record(work: () => void): Recording {
    const uniforms = new Uniforms(this.device, RECORDING_SLOTS);
    const recorder: Recorder = { launches: [], uniforms, weightBytes: 0 };
    this.recorder = recorder;
    try {
      work();
    } catch (error) {
      uniforms.buffer.destroy();
      throw error;
    } finally {
      this.recorder = undefined;
    }
    uniforms.write();
    const { launches, weightBytes } = recorder;
    const dispose = () => {
      this.submit();
      uniforms.buffer.destroy();
    };
    return { launches, weightBytes, dispose };
  }

  /** Runs recorded launches, then `after` with the encoder, and submits them. */
  replay({ launches, weightBytes }: Recording, after?: (encoder: GPUCommandEncoder) => void): void {
    const pass = this.openPass();
    for (const launch of launches) encode(pass, launch);
    this.weightBytes += weightBytes;
    this.launches += launches.length;
    after?.(this.openEncoder());
    this.submit();
  }

  /** WebGPU would only report it after the launch. */
  private checkGrid({ name }: Kernel, grid: Grid): void {
    const { mostWorkgroups: most } = this;
    if (grid.every((count = 1) => count <= most)) return;
    throw new BackendError(
      `webgpu: ${name} needs ${grid.join(' x ')} workgroups, and this GPU allows ${most} a dimension`,
    );
  }

  private prepare(
    uniforms: Uniforms,
    kernel: Kernel,
    grid: Grid,
    memory: Readonly<Record<string, Address>>,
    scalars: Readonly<Record<string, number>>,
  ): Launch {
    const bound = bind(kernel, memory, this.buffers, this.device.limits);
    const { pipeline, layout } = this.pipelines.get(kernel, bound);
    const words = argumentWords(kernel, bound.places, scalars);
    const slot = { buffer: uniforms.buffer, offset: uniforms.add(words), size: words.byteLength };
    const bindGroup = this.device.createBindGroup({
      layout,
      entries: [slot, ...bound.ranges].map((resource, binding) => ({ binding, resource })),
    });
    const [x, y = 1, z = 1] = grid;
    return { pipeline, bindGroup, x, y, z };
  }

  private openEncoder(): GPUCommandEncoder {
    this.refuseRecording('a copy');
    this.closePass();
    this.encoder ??= this.device.createCommandEncoder();
    return this.encoder;
  }

  private openPass(): GPUComputePassEncoder {
    this.encoder ??= this.device.createCommandEncoder();
    this.pass ??= this.encoder.beginComputePass();
    return this.pass;
  }

  private closePass(): void {
    this.pass?.end();
    this.pass = undefined;
  }

  private refuseRecording(what: string): void {
    if (!this.recorder) return;
    throw new BackendError(`webgpu: ${what} cannot be part of a compiled step`);
  }
}

/** Number of rows of `stride` f32 values that fit a binding, which begins up to 255 bytes before the first row. */
export function rowsOfBinding({ device }: WebGpuRuntime, stride: number): number {
  return Math.max(1, Math.floor((device.limits.maxStorageBufferBindingSize - 256) / (4 * stride)));
}

function padded(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  whole.set(bytes);
  return whole;
}
