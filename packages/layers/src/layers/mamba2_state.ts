// Mamba2State: what a Mamba-2 layer remembers.
import * as tf from '@tensorflow/tfjs-core';
import type { RecordedMixer } from '../ops/mamba2_mixer.js';
import type { LayerState, StoredTensor } from './layer.js';
import { sameKind, storedF32 } from './stored_state.js';

/** What a state needs to return to a mark. */
interface Mark {
  /** At the mark. */
  readonly convState: tf.Tensor;
  readonly ssmState: tf.Tensor;
  /** The forward pass since then. */
  pass?: Pick<RecordedMixer, 'projected' | 'replay'>;
}

/** The state of the layer: the last inputs of the convolution and the scan's state. */
export class Mamba2State implements LayerState {
  private marked: Mark | undefined;

  constructor(
    private convState: tf.Tensor,
    private ssmState: tf.Tensor,
  ) {
    tf.keep(convState);
    tf.keep(ssmState);
  }

  /** (B, dConv, convDim): the last dConv raw inputs of the convolution, oldest first. */
  get conv(): tf.Tensor {
    return this.convState;
  }

  /** (B, heads, headDim, dState) */
  get ssm(): tf.Tensor {
    return this.ssmState;
  }

  /** Takes ownership of these tensors and frees the old ones. */
  replace(conv: tf.Tensor, ssm: tf.Tensor): void {
    tf.keep(conv);
    tf.keep(ssm);
    this.convState.dispose();
    this.ssmState.dispose();
    this.convState = conv;
    this.ssmState = ssm;
  }

  /** Whether the next forward pass has to be recorded, for `rewind`. */
  get isMarked(): boolean {
    return this.marked !== undefined;
  }

  mark(): number {
    this.unmark();
    const [convState, ssmState] = [tf.clone(this.convState), tf.clone(this.ssmState)];
    this.marked = { convState: tf.keep(convState), ssmState: tf.keep(ssmState) };
    return Number.POSITIVE_INFINITY;
  }

  /** Records the forward pass since the mark. It takes ownership of `projected`. */
  record({ projected, replay }: Pick<RecordedMixer, 'projected' | 'replay'>): void {
    if (this.marked) this.marked.pass = { projected: tf.keep(projected), replay };
  }

  rewind(tokens: number): void {
    const { marked } = this;
    if (!marked) return;
    const { convState, ssmState, pass } = marked;
    if (tokens === 0) this.replace(tf.clone(convState), tf.clone(ssmState));
    else if (pass && tokens < (pass.projected.shape[1] ?? 0)) {
      const [batch = 0, , size = 0] = pass.projected.shape;
      const rows = tf.slice(pass.projected, [0, 0, 0], [batch, tokens, size]);
      const states = pass.replay(rows, { convState, ssmState });
      rows.dispose();
      this.replace(states.convState, states.ssmState);
    }
    this.unmark();
  }

  private unmark(): void {
    const { marked } = this;
    tf.dispose([marked?.convState, marked?.ssmState, marked?.pass?.projected]);
    this.marked = undefined;
  }

  get form(): string {
    const sizes = ({ shape }: tf.Tensor) => `[${shape.slice(1).join(', ')}]`;
    return `convState ${sizes(this.convState)}, ssmState ${sizes(this.ssmState)}`;
  }

  save(): StoredTensor[] {
    return [storedF32('convState', this.convState), storedF32('ssmState', this.ssmState)];
  }

  /** An independent copy. Memory is shared until one of them advances. */
  clone(): Mamba2State {
    return new Mamba2State(tf.clone(this.convState), tf.clone(this.ssmState));
  }

  gather(rows: readonly number[]): Mamba2State {
    const index = tf.tensor1d([...rows], 'int32');
    const state = new Mamba2State(
      tf.gather(this.convState, index),
      tf.gather(this.ssmState, index),
    );
    index.dispose();
    return state;
  }

  concat(others: readonly LayerState[]): Mamba2State {
    const states = [this, ...sameKind(Mamba2State, others)];
    return new Mamba2State(
      tf.concat(states.map((s) => s.conv)),
      tf.concat(states.map((s) => s.ssm)),
    );
  }

  /** Frees its tensors. */
  dispose(): void {
    this.unmark();
    this.convState.dispose();
    this.ssmState.dispose();
  }
}
