// Decides which recurrent states can be updated in place.
//
// The output state of one of our ops has its own memory, until another op reads it: TensorFlow's Reshape, Pad
// or Slice may return the same memory under another name. So the inputs of every op are tracked. Clones share
// the data id, and tfjs counts them.
import * as tf from '@tensorflow/tfjs-core';
import type { NodeBackend } from './node_backend.js';

export class StateMemory {
  private readonly own = new WeakSet<tf.DataId>();

  constructor(private readonly backend: NodeBackend) {
    const inputIds = backend.getInputTensorIds.bind(backend);
    backend.getInputTensorIds = (inputs) => {
      for (const { dataId } of inputs) if (dataId) this.own.delete(dataId);
      return inputIds(inputs);
    };
  }

  /** Whether no other tensor shares the memory of these states, and no gradient needs it later. */
  canOverwrite(states: readonly tf.TensorInfo[]): boolean {
    if (states.length === 0 || tf.engine().state.gradientDepth > 0) return false;
    const ids = new Set(states.map(({ dataId }) => dataId));
    return (
      ids.size === states.length &&
      [...ids].every((id) => this.own.has(id) && this.backend.refCount(id) === 1)
    );
  }

  /** Marks an output state of one of our ops. */
  add(state: tf.TensorInfo): void {
    this.own.add(state.dataId);
  }
}
