// Typed access to tfjs's kernel registry.
//
// A kernel that the current backend lacks is composed of tfjs-core ops, so that every op works on every
// tfjs backend.
import * as tf from '@tensorflow/tfjs-core';
import {
  type DifferentiableName,
  type KernelAttrs,
  type KernelInputs,
  type KernelName,
  kernels,
} from './kernels.js';

/** A kernel, not yet registered for a backend. */
export interface KernelSpec {
  readonly kernelName: KernelName;
  readonly kernelFunc: tf.KernelFunc;
}

/** Defines a kernel. Its intermediate tensors are disposed, its outputs are not. */
export function defineKernel<K extends KernelName>(
  kernelName: K,
  run: (inputs: KernelInputs<K>, attrs: KernelAttrs<K>) => tf.Tensor | tf.Tensor[],
): KernelSpec {
  return {
    kernelName,
    // tfjs types inputs and attributes as generic maps. Kernels has their real types.
    kernelFunc: ({ inputs, attrs }) =>
      tf.tidy(() => run(present(inputs) as KernelInputs<K>, attrs as KernelAttrs<K>)),
  };
}

/**
 * Registers the gradient of a kernel.
 *
 * @param gradient receives a dy for each output and the saved inputs that the call had, in the table's
 *   order; returns a function for each differentiable input
 */
export function defineGradient<K extends DifferentiableName>(
  kernelName: K,
  gradient: (
    dys: tf.Tensor[],
    inputs: KernelInputs<K>,
    attrs: KernelAttrs<K>,
  ) => Record<string, () => tf.Tensor>,
): void {
  const names = kernels[kernelName].saves;
  tf.registerGradient({
    kernelName,
    inputsToSave: [...names],
    gradFunc: (dy, saved, attrs) => {
      const named = Object.fromEntries(names.map((name, i) => [name, saved[i]]));
      return gradient(
        Array.isArray(dy) ? dy : [dy],
        present(named) as KernelInputs<K>,
        attrs as KernelAttrs<K>,
      );
    },
  });
}

/** Whether a gradient is being recorded (inside tf.grads, tf.variableGrads and similar). */
export function isTapeOpen(): boolean {
  const { gradientDepth, kernelDepth } = tf.engine().state;
  return gradientDepth > 0 && kernelDepth === 0;
}

/** Runs a custom kernel on the current backend; the composed one if the backend has none. */
export function runKernel<K extends KernelName>(
  kernelName: K,
  inputs: KernelInputs<K>,
  attrs: KernelAttrs<K>,
): tf.Tensor[] {
  ensureKernels();
  const given = isTapeOpen() ? withPlaceholders(kernelName, inputs) : present(inputs);
  const outputs = tf.engine().runKernel<tf.Tensor | tf.Tensor[]>(kernelName, given, attrs);
  return Array.isArray(outputs) ? outputs : [outputs];
}

/** runKernel for kernels with one output. */
export function runKernel1<K extends KernelName>(
  kernelName: K,
  inputs: KernelInputs<K>,
  attrs: KernelAttrs<K>,
): tf.Tensor {
  return output(runKernel(kernelName, inputs, attrs), 0);
}

/** The i-th output of a kernel. It must exist. */
export function output(outputs: readonly tf.Tensor[], i: number): tf.Tensor {
  const tensor = outputs[i];
  if (tensor === undefined)
    throw new Error(`kernel returned ${outputs.length} outputs, not ${i + 1}`);
  return tensor;
}

const composed: KernelSpec[] = [];
const completeBackends = new Set<string>();

/** Registers kernels as fallbacks for every backend that lacks them. */
export function registerComposed(kernels: readonly KernelSpec[]): void {
  composed.push(...kernels);
}

/** The fallback kernels. */
export function composedKernels(): readonly KernelSpec[] {
  return composed;
}

function ensureKernels(): void {
  tf.backend(); // before its first use tfjs has no backend, and this chooses one
  const backendName = tf.getBackend();
  if (completeBackends.has(backendName)) return;
  for (const { kernelName, kernelFunc } of composed) {
    if (tf.getKernel(kernelName, backendName) == null) {
      tf.registerKernel({ kernelName, backendName, kernelFunc });
    }
  }
  completeBackends.add(backendName);
}

/** tfjs saves a gradient's inputs by name and cannot skip one, so an absent input is an empty tensor. */
function withPlaceholders(kernelName: KernelName, inputs: object): tf.NamedTensorMap {
  const given = present(inputs);
  const spec = kernels[kernelName];
  if ('saves' in spec) for (const name of spec.saves) given[name] ??= tf.tensor1d([]);
  return given;
}

/** The present inputs: neither undefined nor a placeholder. */
function present(inputs: object): tf.NamedTensorMap {
  const given: tf.NamedTensorMap = {};
  for (const [name, tensor] of Object.entries(inputs)) {
    if (tensor instanceof tf.Tensor && tensor.size > 0) given[name] = tensor;
  }
  return given;
}
