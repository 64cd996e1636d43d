// Which recurrent states may be moved on in place.
//
// A state that an op of ours has made has its memory for itself. That is over when another op reads
// it: what comes out of TensorFlow's Reshape, Pad or Slice may be the same memory under another name.
// So every op's inputs are looked at; clones share the data's id and are counted by tfjs.
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

  /** Whether these states' memory belongs to them alone, and no gradient needs it later. */
  canOverwrite(states: readonly tf.TensorInfo[]): boolean {
    if (states.length === 0 || tf.engine().state.gradientDepth > 0) return false;
    const ids = new Set(states.map(({ dataId }) => dataId));
    return (
      ids.size === states.length &&
      [...ids].every((id) => this.own.has(id) && this.backend.refCount(id) === 1)
    );
  }

  /** For a state that an op of ours has just made, or moved on. */
  add(state: tf.TensorInfo): void {
    this.own.add(state.dataId);
  }
}
