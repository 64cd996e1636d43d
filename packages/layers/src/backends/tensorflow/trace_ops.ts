// Which TensorFlow ops something runs: for tests, and for who counts launches.
import * as tf from '@tensorflow/tfjs-core';
import { asNodeBackend } from './node_backend.js';

/**
 * Calls `run` with the backend 'tensorflow' in use.
 *
 * @returns the names of the TensorFlow ops that it executed, in their order
 * @throws BackendError if another backend is in use
 */
export function traceTensorflowOps(run: () => void): string[] {
  const backend = asNodeBackend(tf.backend());
  const { binding } = backend;
  const names: string[] = [];
  // The binding itself cannot be changed: another stands before it.
  const executeOp: typeof binding.executeOp = (name, ...rest) => {
    names.push(name);
    return binding.executeOp(name, ...rest);
  };
  backend.binding = Object.create(binding, { executeOp: { value: executeOp } });
  try {
    run();
    return names;
  } finally {
    backend.binding = binding;
  }
}
