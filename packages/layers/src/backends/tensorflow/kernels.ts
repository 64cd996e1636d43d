// tfjs kernels of the backend 'tensorflow' that run our TensorFlow ops.
import * as tf from '@tensorflow/tfjs-core';
import { quietly } from '../quietly.js';
import { asNodeBackend } from './node_backend.js';
import type { TensorflowOp } from './register_ops.js';
import { runOp } from './run_op.js';
import type { StateMemory } from './state_memory.js';

const BACKEND_NAME = 'tensorflow';

/** The TensorFlow op of a custom kernel. */
export interface KernelOp extends TensorflowOp {
  readonly kernelName: string;
}

/** Replaces the composed kernels by these. */
export function registerKernels(ops: readonly KernelOp[], states: StateMemory): void {
  for (const op of ops) {
    replaceKernel(op.kernelName, ({ inputs, attrs, backend }) =>
      runKernelOp(op, inputs, attrs ?? {}, backend, states),
    );
  }
}

export function replaceKernel(kernelName: string, kernelFunc: tf.KernelFunc): void {
  quietly(() => tf.registerKernel({ kernelName, backendName: BACKEND_NAME, kernelFunc }));
}

function runKernelOp(
  op: KernelOp,
  inputs: tf.NamedTensorInfoMap,
  attrs: object,
  backend: unknown,
  memory: StateMemory,
): tf.TensorInfo[] {
  const node = asNodeBackend(backend);
  // While gradients are recorded, an absent input is an empty tensor.
  const given = Object.fromEntries(
    Object.entries(inputs).filter(([, t]) => t && tf.util.sizeFromShape(t.shape) > 0),
  );
  const before = op.states.flatMap((name) => given[name] ?? []);
  const after = returnsStates(attrs, before.length === op.states.length) ? op.states.length : 0;
  const inPlace = after > 0 && before.length === after && memory.canOverwrite(before);
  const fixed: Record<string, unknown> = { ...attrs };
  const changing: unknown = op.integers && fixed[op.integers];
  if (op.integers) delete fixed[op.integers];
  const outputs = runOp(node, op, {
    inputs: given,
    attrs: fixed,
    integers: Array.isArray(changing) ? changing : [],
    outputs: 1 + (inPlace ? 0 : after),
    inPlace,
  });
  const states = inPlace
    ? before.map(({ dataId, shape, dtype }) => ({ dataId, shape, dtype }))
    : [];
  for (const { dataId } of states) node.incRef(dataId);
  for (const state of inPlace ? states : outputs.slice(1)) memory.add(state);
  return [...outputs, ...states];
}

/** Whether an op returns its states: by its attribute returnState, else if it received all of them. */
function returnsStates(attrs: object, allGiven: boolean): boolean {
  return 'returnState' in attrs ? attrs.returnState === true : allGiven;
}
