// compileStep on `webgpu`: a decode step's launches with their bind groups, made once for each number of
// sequences and encoded into one compute pass a token. The token is sampled on the GPU and fed back there;
// four bytes a sequence are read.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { LayerState } from '../../layers/layer.js';
import type { DecodeStep, SamplingParams, StepModel } from '../../step.js';
import type { Address } from '../native/address.js';
import { NativeDecodeStep } from '../native/decode_step.js';
import { type StepPlan, stepPlan } from '../native/step_plan.js';
import type { Place } from './buffers.js';
import type { Recording } from './launch.js';
import type { WebGpuOps } from './ops.js';
import type { WebGpuRuntime } from './runtime.js';
import { advanceKernel, PARAMS_BYTES, sampleKernel, samplingWords } from './sampling.wgsl.js';
import { tensorsOf, type WebGpuTensors } from './tensors.js';

export function compileWebGpuStep(model: StepModel, batch: number): DecodeStep {
  const tensors = tensorsOf(tf.backend());
  const plan = stepPlan(tensors, model);
  tensors.runtime.submit();
  return new WebGpuDecodeStep(tensors, plan, batch);
}

/** A step that runs while the tokens before it are read. */
interface Ahead {
  /** By row when the step began. */
  ids: Promise<number[]>;
  /** Of each row now: the row then, and the token that was fed. */
  rows: { from: number; fed: number }[];
}

class WebGpuDecodeStep extends NativeDecodeStep<WebGpuOps> implements DecodeStep {
  private readonly runtime: WebGpuRuntime;
  private readonly params: Address;
  /** Sampled ids, -1 where there is none. */
  private readonly output: Address;
  private readonly outputPlace: Place;
  /** Where the host reads them, one while a step ahead writes the other. */
  private readonly stagings: readonly GPUBuffer[];
  private steps = 0;
  /** On the GPU. Those of greedy decoding stay the same. */
  private sentParams: readonly SamplingParams[] = [];
  private ahead: Ahead | undefined;
  private readonly logitValues: Float32Array;
  /** By number of sequences: of launches that sample, and of those that only compute logits. */
  private readonly recordings = {
    sampling: new Map<number, Recording>(),
    logits: new Map<number, Recording>(),
  };
  /** The tokens that the GPU has sampled and will feed next; empty after sequences have changed. */
  private deviceTokens: readonly number[] = [];

  constructor(tensors: WebGpuTensors, plan: StepPlan, batch: number) {
    super(tensors, plan, batch);
    this.runtime = tensors.runtime;
    const { device, pool } = this.runtime;
    this.params = pool.allocate(batch * PARAMS_BYTES);
    this.output = pool.allocate(batch * 4);
    this.outputPlace = this.runtime.buffers.at(this.output);
    const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
    this.stagings = [0, 1].map(() => device.createBuffer({ size: batch * 4, usage }));
    this.logitValues = new Float32Array(batch * plan.vocabulary);
  }

  override join(states: readonly (LayerState | null)[], row: number, position: number): void {
    this.refuseAhead('a sequence joins');
    super.join(states, row, position);
    this.runtime.submit();
  }

  override leave(row: number): void {
    super.leave(row);
    const rows = this.ahead?.rows;
    const last = rows?.pop();
    if (rows && last && row < rows.length) rows[row] = last;
    if (this.rows === 0) this.ahead = undefined;
    this.runtime.submit();
  }

  override statesOf(row: number): (LayerState | null)[] {
    const states = super.statesOf(row);
    this.runtime.submit();
    return states;
  }

  override replace(row: number, states: readonly (LayerState | null)[], position: number): void {
    this.refuseAhead('a state is replaced');
    super.replace(row, states, position);
    this.runtime.submit();
  }

  async sample(
    tokens: readonly number[],
    params: readonly SamplingParams[],
    ahead?: readonly SamplingParams[],
  ): Promise<number[]> {
    const begun = this.ahead;
    this.ahead = undefined;
    if (begun?.rows.some(({ fed }, row) => fed !== tokens[row])) {
      throw new BackendError('tokens: expected those that were sampled before the step ahead');
    }
    const sampled = begun ? inOrder(begun) : this.start(tokens, params);
    // After rows have left, the tokens on the GPU are in another order.
    const isMoved = begun?.rows.some(({ from }, row) => from !== row) ?? false;
    if (!ahead) {
      const ids = await sampled;
      this.deviceTokens = isMoved ? [] : ids;
      return [...ids];
    }
    const ids = this.start(isMoved ? await sampled : undefined, ahead);
    // What it rejects with is thrown where the ids are awaited, if they are.
    ids.catch(() => undefined);
    const fed = await sampled;
    this.ahead = { ids, rows: fed.map((id, row) => ({ from: row, fed: id })) };
    return fed;
  }

  async logitsOf(row: number): Promise<Float32Array> {
    this.refuseAhead('logits are read');
    const values = this.logitsAt(row);
    await this.download(values, this.buffers.logits + row * this.plan.vocabulary * 4);
    return values;
  }

  async logits(tokens: readonly number[]): Promise<Float32Array[]> {
    this.refuseAhead('logits are computed');
    this.run(tokens, false);
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
    for (const staging of this.stagings) staging.destroy();
  }

  protected override onRowsChanged(): void {
    this.deviceTokens = [];
    this.upload(this.buffers.positions, this.positions);
  }

  protected override forgetRecordings(): void {
    for (const recordings of Object.values(this.recordings)) {
      for (const { dispose } of recordings.values()) dispose();
      recordings.clear();
    }
  }

  /**
   * Encodes a step and submits it.
   *
   * @param tokens undefined: those that the GPU has sampled last
   * @returns the sampled ids, once they can be read
   */
  private async start(
    tokens: readonly number[] | undefined,
    params: readonly SamplingParams[],
  ): Promise<number[]> {
    const { rows, runtime } = this;
    const staging = this.stagings[this.steps++ % this.stagings.length];
    if (!staging) throw new BackendError('a compiled step has no place for its tokens');
    this.sendParams(params);
    const { buffer, offset } = this.outputPlace;
    this.run(tokens, true, (encoder) =>
      encoder.copyBufferToBuffer(buffer, offset, staging, 0, rows * 4),
    );
    await runtime.map(staging);
    const sampled = [...new Int32Array(staging.getMappedRange(0, rows * 4))];
    staging.unmap();
    return sampled;
  }

  private sendParams(params: readonly SamplingParams[]): void {
    const { sentParams } = this;
    const isSent = params.every((own, row) => areEqual(own, sentParams[row]));
    if (isSent && params.length === sentParams.length) return;
    const words = samplingWords(params, this.plan.vocabulary);
    this.runtime.upload(this.params, new Uint8Array(words.buffer));
    this.sentParams = params.map((own) => ({ ...own }));
  }

  private run(
    tokens: readonly number[] | undefined,
    samples: boolean,
    after?: (encoder: GPUCommandEncoder) => void,
  ): void {
    this.prepare(tokens ?? this.positions);
    const isOnDevice = tokens?.every((token, i) => token === this.deviceTokens[i]) ?? true;
    if (tokens && !isOnDevice) this.upload(this.buffers.tokens, tokens);
    this.deviceTokens = [];
    this.runtime.replay(this.recording(samples), after);
    this.advance();
  }

  private refuseAhead(what: string): void {
    if (!this.ahead) return;
    throw new BackendError(`webgpu: ${what} while a step runs ahead of the tokens that are known`);
  }

  private recording(samples: boolean): Recording {
    const recordings = samples ? this.recordings.sampling : this.recordings.logits;
    const known = recordings.get(this.rows);
    if (known) return known;
    const { pool } = this.runtime;
    pool.enterArena();
    try {
      const recorded = this.runtime.record(() => {
        this.launch(this.rows);
        if (samples) this.launchSampling();
        else this.launchAdvance();
      });
      const freeArena = pool.leaveArena();
      const dispose = () => {
        recorded.dispose();
        freeArena();
      };
      const recording = { ...recorded, dispose };
      recordings.set(this.rows, recording);
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

/** The ids of a step ahead, of the rows that are left. */
async function inOrder({ ids, rows }: Ahead): Promise<number[]> {
  const all = await ids;
  return rows.map(({ from }) => all[from] ?? -1);
}

function areEqual(a: SamplingParams, b: SamplingParams | undefined): boolean {
  return (
    a.random === b?.random &&
    a.temperature === b.temperature &&
    a.topK === b.topK &&
    a.topP === b.topP &&
    a.minP === b.minP
  );
}
