// Compiled decode steps on `cuda`: a CUDA graph for each batch size, recorded once and replayed. A token
// costs one launch. Sampling parameters and sampled tokens are in memory shared by host and GPU.
import * as tf from '@tensorflow/tfjs-core';
import type { DecodeStep, SamplingParams, StepModel } from '../../step.js';
import { NativeDecodeStep } from '../native/decode_step.js';
import { type StepPlan, stepPlan } from '../native/step_plan.js';
import { asCuda, type CudaBackend } from './backend.js';
import type { Graph, SharedBlock } from './device.js';
import type { CudaOps } from './ops.js';
import type { CudaRuntime } from './runtime.js';

/** Bytes of a struct SamplingParams in sampling.cu. */
const PARAMS_BYTES = 40;

export function compileCudaStep(model: StepModel, batch: number): DecodeStep {
  const backend = asCuda(tf.backend());
  return new CudaDecodeStep(backend, stepPlan(backend, model), batch);
}

class CudaDecodeStep extends NativeDecodeStep<CudaOps> implements DecodeStep {
  private readonly runtime: CudaRuntime;
  /** Sampling parameters of all sequences, then the sampled tokens. */
  private readonly shared: SharedBlock;
  private readonly params: DataView;
  private readonly output: Int32Array;
  private readonly logitValues: Float32Array;
  /** By batch size, and whether the graph samples. */
  private readonly graphs = new Map<string, { graph: Graph; release: () => void }>();
  /** Tokens that the GPU has sampled and will feed next; empty after sequences have changed. */
  private deviceTokens: readonly number[] = [];

  constructor(backend: CudaBackend, plan: StepPlan, batch: number) {
    super(backend, plan, batch);
    this.runtime = backend.runtime;
    try {
      this.shared = this.runtime.device.allocateShared(batch * (PARAMS_BYTES + 4));
    } catch (error) {
      super.dispose();
      throw error;
    }
    const { bytes } = this.shared;
    this.params = new DataView(bytes.buffer, bytes.byteOffset, batch * PARAMS_BYTES);
    this.output = new Int32Array(bytes.buffer, bytes.byteOffset + batch * PARAMS_BYTES, batch);
    this.logitValues = new Float32Array(batch * plan.vocabulary);
  }

  async sample(tokens: readonly number[], params: readonly SamplingParams[]): Promise<number[]> {
    for (const [row, { random, temperature, topP, minP, topK }] of params.entries()) {
      const at = row * PARAMS_BYTES;
      [random, temperature, topP, minP].forEach((value, i) => {
        this.params.setFloat64(at + 8 * i, value, true);
      });
      this.params.setInt32(at + 32, Math.min(topK, this.plan.vocabulary), true);
    }
    this.run(tokens, true);
    const sampled = [...this.output.subarray(0, this.rows)];
    this.deviceTokens = sampled;
    return [...sampled];
  }

  async logitsOf(row: number): Promise<Float32Array> {
    const values = this.logitsAt(row);
    this.download(values, this.buffers.logits + row * this.plan.vocabulary * 4);
    return values;
  }

  async logits(tokens: readonly number[]): Promise<Float32Array[]> {
    this.run(tokens, false);
    this.deviceTokens = [];
    const values = this.logitValues.subarray(0, this.rows * this.plan.vocabulary);
    this.download(values, this.buffers.logits);
    return tokens.map((_, row) => this.logitsAt(row));
  }

  kernels(): number {
    return this.graph(true).nodes;
  }

  override dispose(): void {
    this.runtime.device.synchronize();
    super.dispose();
    this.shared.free();
  }

  protected override onRowsChanged(): void {
    this.deviceTokens = [];
    this.upload(this.buffers.positions, this.positions);
  }

  protected override forgetRecordings(): void {
    this.runtime.device.synchronize();
    for (const { graph, release } of this.graphs.values()) {
      graph.dispose();
      release();
    }
    this.graphs.clear();
  }

  private run(tokens: readonly number[], samples: boolean): void {
    this.prepare(tokens);
    const isOnDevice = tokens.every((token, i) => token === this.deviceTokens[i]);
    if (!isOnDevice) this.upload(this.buffers.tokens, tokens);
    this.graph(samples).launch();
    this.runtime.device.synchronize();
    this.advance();
  }

  private graph(samples: boolean): Graph {
    const key = `${this.rows} ${samples}`;
    const known = this.graphs.get(key);
    if (known) return known.graph;
    const { device, pool } = this.runtime;
    const work = () => {
      this.launch(this.rows);
      if (samples) this.launchSampling();
      else this.launchAdvance();
    };
    pool.enterArena();
    let graph: Graph;
    try {
      device.rehearse(work);
      graph = device.record(work);
    } catch (error) {
      pool.leaveArena()();
      throw error;
    }
    this.graphs.set(key, { graph, release: pool.leaveArena() });
    return graph;
  }

  /** Samples a token for each sequence, feeds it in the next step and counts it. */
  private launchSampling(): void {
    const { logits, tokens, positions } = this.buffers;
    const { vocabSize, vocabulary } = this.plan;
    const params = this.shared.address;
    const output = params + this.batch * PARAMS_BYTES;
    this.runtime.launch(
      'sample_tokens',
      { grid: [this.rows], block: 1024 },
      [logits, params, tokens, output, positions],
      [vocabSize, vocabulary],
    );
  }

  private launchAdvance(): void {
    const launch = { grid: [Math.ceil(this.rows / 256)], block: 256 } as const;
    this.runtime.launch('advance_positions', launch, [this.buffers.positions], [this.rows, 1]);
  }

  private logitsAt(row: number): Float32Array {
    const { vocabulary } = this.plan;
    return this.logitValues.subarray(row * vocabulary, (row + 1) * vocabulary);
  }

  private download(values: Float32Array, from: number): void {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.runtime.device.download(bytes, from);
  }

  private upload(address: number, values: readonly number[]): void {
    if (values.length === 0) return;
    this.ops.upload(address, new Uint8Array(Int32Array.from(values).buffer));
  }
}
