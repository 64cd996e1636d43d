// compileStep on `webgpu`: a decode step's launches with their bind groups, made once for each number of
// sequences and encoded into one compute pass a token. The token is sampled on the GPU and fed back there;
// four bytes a sequence are read.
import * as tf from '@tensorflow/tfjs-core';
import type { LayerState } from '../../layers/layer.js';
import type { DecodeStep, SamplingParams, StepModel } from '../../step.js';
import type { Address } from '../native/address.js';
import { NativeDecodeStep } from '../native/decode_step.js';
import { type StepPlan, stepPlan } from '../native/step_plan.js';
import type { WebGpuOps } from './ops.js';
import type { PreparedLaunch, WebGpuRuntime } from './runtime.js';
import { advanceKernel, PARAMS_BYTES, sampleKernel, samplingWords } from './sampling.wgsl.js';
import { tensorsOf, type WebGpuTensors } from './tensors.js';

export function compileWebGpuStep(model: StepModel, batch: number): DecodeStep {
  const tensors = tensorsOf(tf.backend());
  const plan = stepPlan(tensors, model);
  tensors.runtime.submit();
  return new WebGpuDecodeStep(tensors, plan, batch);
}

interface Recording {
  launches: readonly PreparedLaunch[];
  release: () => void;
}

class WebGpuDecodeStep extends NativeDecodeStep<WebGpuOps> implements DecodeStep {
  private readonly runtime: WebGpuRuntime;
  private readonly params: Address;
  /** Sampled ids, -1 where there is none. */
  private readonly output: Address;
  /** Where the host reads them. */
  private readonly staging: GPUBuffer;
  private readonly logitValues: Float32Array;
  /** By number of sequences, and whether the launches sample. */
  private readonly recordings = new Map<string, Recording>();
  /** The tokens that the GPU has sampled and will feed next; empty after sequences have changed. */
  private deviceTokens: readonly number[] = [];

  constructor(tensors: WebGpuTensors, plan: StepPlan, batch: number) {
    super(tensors, plan, batch);
    this.runtime = tensors.runtime;
    const { device, pool } = this.runtime;
    this.params = pool.allocate(batch * PARAMS_BYTES);
    this.output = pool.allocate(batch * 4);
    const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
    this.staging = device.createBuffer({ size: batch * 4, usage });
    this.logitValues = new Float32Array(batch * plan.vocabulary);
  }

  override join(states: readonly (LayerState | null)[], row: number, position: number): void {
    super.join(states, row, position);
    this.runtime.submit();
  }

  override leave(row: number): void {
    super.leave(row);
    this.runtime.submit();
  }

  override statesOf(row: number): (LayerState | null)[] {
    const states = super.statesOf(row);
    this.runtime.submit();
    return states;
  }

  async sample(tokens: readonly number[], params: readonly SamplingParams[]): Promise<number[]> {
    const { vocabulary } = this.plan;
    this.runtime.upload(this.params, samplingWords(params, vocabulary));
    const { rows } = this;
    const { buffer, offset } = this.runtime.buffers.at(this.output);
    this.run(tokens, true, (encoder) =>
      encoder.copyBufferToBuffer(buffer, offset, this.staging, 0, rows * 4),
    );
    await this.runtime.map(this.staging);
    const sampled = [...new Int32Array(this.staging.getMappedRange(0, rows * 4))];
    this.staging.unmap();
    this.deviceTokens = sampled;
    return sampled;
  }

  async logitsOf(row: number): Promise<Float32Array> {
    const values = this.logitsAt(row);
    await this.download(values, this.buffers.logits + row * this.plan.vocabulary * 4);
    return values;
  }

  async logits(tokens: readonly number[]): Promise<Float32Array[]> {
    this.run(tokens, false, () => undefined);
    this.deviceTokens = [];
    const values = this.logitValues.subarray(0, this.rows * this.plan.vocabulary);
    await this.download(values, this.buffers.logits);
    return tokens.map((_, row) => this.logitsAt(row));
  }

  kernels(): number {
    return this.recording(true).launches.length;
  }

  override dispose(): void {
    super.dispose();
    for (const address of [this.params, this.output]) this.runtime.pool.release(address);
    this.staging.destroy();
  }

  protected override onRowsChanged(): void {
    this.deviceTokens = [];
    this.upload(this.buffers.positions, this.positions);
  }

  protected override forgetRecordings(): void {
    for (const { release } of this.recordings.values()) release();
    this.recordings.clear();
  }

  private run(
    tokens: readonly number[],
    samples: boolean,
    after: (encoder: GPUCommandEncoder) => void,
  ): void {
    this.prepare(tokens);
    const isOnDevice = tokens.every((token, i) => token === this.deviceTokens[i]);
    if (!isOnDevice) this.upload(this.buffers.tokens, tokens);
    this.runtime.replay(this.recording(samples).launches, after);
    this.advance();
  }

  private recording(samples: boolean): Recording {
    const key = `${this.rows} ${samples}`;
    const known = this.recordings.get(key);
    if (known) return known;
    const { pool } = this.runtime;
    pool.enterArena();
    let release: () => void;
    try {
      const { launches, dispose } = this.runtime.record(() => {
        this.launch(this.rows);
        if (samples) this.launchSampling();
        else this.launchAdvance();
      });
      const freeArena = pool.leaveArena();
      release = () => {
        dispose();
        freeArena();
      };
      const recording = { launches, release };
      this.recordings.set(key, recording);
      return recording;
    } catch (error) {
      pool.leaveArena()();
      throw error;
    }
  }

  /** Samples a token for each sequence, feeds it next and counts it. */
  private launchSampling(): void {
    const { logits, tokens, positions } = this.buffers;
    const { vocabSize, vocabulary } = this.plan;
    this.runtime.launch(
      sampleKernel,
      [this.rows],
      { logits, params: this.params, tokens, output: this.output, positions },
      { vocabulary: vocabSize, pitch: vocabulary },
    );
  }

  private launchAdvance(): void {
    const { positions } = this.buffers;
    const { rows } = this;
    this.runtime.launch(advanceKernel, [Math.ceil(rows / 64)], { positions }, { rows });
  }

  private logitsAt(row: number): Float32Array {
    const { vocabulary } = this.plan;
    return this.logitValues.subarray(row * vocabulary, (row + 1) * vocabulary);
  }

  private download(values: Float32Array, source: Address): Promise<void> {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return this.runtime.download(bytes, source);
  }

  private upload(address: Address, values: readonly number[]): void {
    if (values.length === 0) return;
    this.ops.upload(address, new Uint8Array(Int32Array.from(values).buffer));
  }
}
