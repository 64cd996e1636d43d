// compileStep: a decode step recorded as a CUDA graph, one for each number of rows, and replayed. A
// token costs one launch; what the host tells and is told stands in memory that both sides see.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { LayerState } from '../../layers/layer.js';
import type { Choice, DecodeStep, StepModel } from '../../step.js';
import { asCuda, type CudaBackend } from './backend.js';
import type { Graph, SharedBlock } from './device.js';
import { launchStep, type StepBuffers } from './step_launches.js';
import { type StepPlan, stepPlan } from './step_plan.js';
import { StepStates } from './step_states.js';

/** Bytes of a row's struct Choice in sampling.cu. */
const CHOICE_BYTES = 40;

export function compileCudaStep(model: StepModel, batch: number): DecodeStep {
  const backend = asCuda(tf.backend());
  return new CudaDecodeStep(backend, stepPlan(backend, model), batch);
}

class CudaDecodeStep implements DecodeStep {
  private readonly states: StepStates;
  private readonly buffers: StepBuffers;
  /** Choices and the tokens chosen, a row each. */
  private readonly shared: SharedBlock;
  private readonly choices: DataView;
  private readonly told: Int32Array;
  private readonly logitValues: Float32Array;
  /** By rows, and whether they choose. */
  private readonly graphs = new Map<string, { graph: Graph; giveBack: () => void }>();
  /** The token that the device holds for each row, which it feeds to the row next. */
  private held: number[] = [];
  private positions: number[] = [];

  constructor(
    private readonly backend: CudaBackend,
    private readonly plan: StepPlan,
    readonly batch: number,
  ) {
    const { device, pool } = backend.runtime;
    const allocated: number[] = [];
    const allocate = (bytes: number) => {
      const address = pool.allocate(bytes);
      allocated.push(address);
      return address;
    };
    this.shared = device.allocateShared(batch * (CHOICE_BYTES + 4));
    try {
      const { address, bytes } = this.shared;
      this.choices = new DataView(bytes.buffer, bytes.byteOffset, batch * CHOICE_BYTES);
      this.told = new Int32Array(bytes.buffer, bytes.byteOffset + batch * CHOICE_BYTES, batch);
      this.buffers = {
        tokens: allocate(batch * 4),
        positions: allocate(batch * 4),
        hidden: allocate(batch * plan.dModel * 4),
        logits: allocate(batch * plan.vocabulary * 4),
        choices: address,
        told: address + batch * CHOICE_BYTES,
      };
      this.states = new StepStates(backend, plan, batch);
    } catch (error) {
      for (const address of allocated) pool.release(address);
      this.shared.free();
      throw error;
    }
    this.logitValues = new Float32Array(batch * plan.vocabulary);
  }

  get rows(): number {
    return this.positions.length;
  }

  join(states: readonly (LayerState | null)[], row: number, position: number): void {
    if (this.rows === this.batch) {
      throw new BackendError(`this step was compiled for ${this.batch} rows, and holds them`);
    }
    this.reserve(position + 1);
    this.states.write(this.rows, states, row);
    this.positions.push(position);
    this.held.push(-1);
    this.upload(this.buffers.positions, this.positions);
  }

  leave(row: number): void {
    const last = this.rows - 1;
    if (row > last) throw new BackendError(`this step holds ${this.rows} rows, no row ${row}`);
    if (row < last) this.states.move(last, row);
    for (const list of [this.positions, this.held]) {
      list[row] = list[last] ?? 0;
      list.pop();
    }
    this.held.fill(-1);
    this.upload(this.buffers.positions, this.positions);
  }

  statesOf(row: number): (LayerState | null)[] {
    return this.states.read(row, this.positions[row] ?? 0);
  }

  async choose(tokens: readonly number[], choices: readonly Choice[]): Promise<number[]> {
    for (const [row, { random, temperature, topP, minP, topK }] of choices.entries()) {
      const at = row * CHOICE_BYTES;
      [random, temperature, topP, minP].forEach((value, i) => {
        this.choices.setFloat64(at + 8 * i, value, true);
      });
      this.choices.setInt32(at + 32, Math.min(topK, this.plan.vocabulary), true);
    }
    this.run(tokens, true);
    const chosen = [...this.told.subarray(0, this.rows)];
    this.held = [...chosen];
    return chosen;
  }

  logitsOf(row: number): Float32Array {
    const values = this.rowValues(row);
    this.download(values, this.buffers.logits + row * this.plan.vocabulary * 4);
    return values;
  }

  async logits(tokens: readonly number[]): Promise<Float32Array[]> {
    this.run(tokens, false);
    this.held.fill(-1);
    const values = this.logitValues.subarray(0, this.rows * this.plan.vocabulary);
    this.download(values, this.buffers.logits);
    return this.positions.map((_, row) => this.rowValues(row));
  }

  dispose(): void {
    const { device, pool } = this.backend.runtime;
    device.synchronize();
    this.forgetGraphs();
    this.states.dispose();
    const { tokens, positions, hidden, logits } = this.buffers;
    for (const address of [tokens, positions, hidden, logits]) pool.release(address);
    this.shared.free();
  }

  kernels(): number {
    return this.graph(true).nodes;
  }

  private rowValues(row: number): Float32Array {
    const { vocabulary } = this.plan;
    return this.logitValues.subarray(row * vocabulary, (row + 1) * vocabulary);
  }

  private download(values: Float32Array, from: number): void {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.backend.runtime.device.download(bytes, from);
  }

  private run(tokens: readonly number[], chooses: boolean): void {
    if (tokens.length !== this.rows || tokens.length === 0) {
      throw new BackendError(`tokens: expected ${this.rows || 'some'}, found ${tokens.length}`);
    }
    this.reserve(Math.max(...this.positions) + 1);
    if (tokens.some((token, i) => token !== this.held[i])) this.upload(this.buffers.tokens, tokens);
    const { device } = this.backend.runtime;
    this.graph(chooses).launch();
    device.synchronize();
    this.positions = this.positions.map((position) => position + 1);
  }

  private graph(chooses: boolean): Graph {
    const key = `${this.rows} ${chooses}`;
    const known = this.graphs.get(key);
    if (known) return known.graph;
    const { runtime } = this.backend;
    const { device, pool } = runtime;
    const work = () => {
      launchStep(runtime, this.plan, this.states, this.buffers, this.rows, chooses);
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
    this.graphs.set(key, { graph, giveBack: pool.leaveArena() });
    return graph;
  }

  /** Room for so many tokens in attention without a window; recorded graphs know the old rings. */
  private reserve(tokens: number): void {
    if (!this.states.needsMore(tokens)) return;
    this.backend.runtime.device.synchronize();
    this.forgetGraphs();
    this.states.grow(tokens, this.rows);
  }

  private forgetGraphs(): void {
    for (const { graph, giveBack } of this.graphs.values()) {
      graph.dispose();
      giveBack();
    }
    this.graphs.clear();
  }

  private upload(address: number, values: readonly number[]): void {
    if (values.length === 0) return;
    const bytes = new Uint8Array(Int32Array.from(values).buffer);
    this.backend.runtime.device.upload(address, bytes);
  }
}
