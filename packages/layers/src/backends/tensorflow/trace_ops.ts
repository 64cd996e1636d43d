// Lists the TensorFlow ops that a function runs, for tests and for counting launches.
import * as tf from '@tensorflow/tfjs-core';
import { asNodeBackend } from './node_backend.js';

/**
 * Calls `run` while the backend 'tensorflow' is the current one.
 *
 * @returns the names of the TensorFlow ops that it executed, in order
 * @throws BackendError if another backend is in use
 */
export function traceTensorflowOps(run: () => void): string[] {
  const backend = asNodeBackend(tf.backend());
  const { binding } = backend;
  const names: string[] = [];
  // The native binding cannot be changed, so an object that inherits from it replaces it.
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
