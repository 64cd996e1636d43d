// Kernels of the native backends: tensors and attributes in, calls on addresses out.
import * as tf from '@tensorflow/tfjs-core';
import type { KernelAttrs, KernelInputs, KernelName } from '../../kernels.js';
import type { Address } from './address.js';
import type { NativeGradientOps, NativeOps } from './ops.js';
import { sizeOf } from './sizes.js';

/** A tensor that a kernel made, and its address. */
export interface Output {
  info: tf.TensorInfo;
  address: Address;
}

/** The owner of a kernel's tensors: a tfjs backend, or TensorFlow (../tensorflow/). */
export interface NativeTensors<Ops extends NativeOps = NativeOps> {
  readonly ops: Ops;
  /** Makes an output of uninitialised values. */
  allocate(shape: readonly number[], dtype?: 'float32' | 'int32'): Output;
  /** The address of a float32 or int32 tensor. */
  address(tensor: tf.TensorInfo): Address;
  /** Whether the tensor's memory has no other owner, so that a kernel may overwrite it. */
  isSoleOwner(tensor: tf.TensorInfo): boolean;
  /** For an input that is also returned as an output. */
  incRef(dataId: tf.DataId): void;
}

export interface NativeKernel<Ops extends NativeOps = NativeGradientOps> {
  readonly kernelName: KernelName;
  run(
    inputs: tf.NamedTensorInfoMap,
    attrs: object | undefined,
    tensors: NativeTensors<Ops>,
  ): tf.TensorInfo | tf.TensorInfo[];
}

type Run<K extends KernelName, Ops extends NativeOps> = (
  inputs: KernelInputs<K>,
  attrs: KernelAttrs<K>,
  tensors: NativeTensors<Ops>,
) => tf.TensorInfo | tf.TensorInfo[];

/** A kernel of every native backend. */
export function nativeKernel<K extends KernelName>(
  kernelName: K,
  run: Run<K, NativeOps>,
): NativeKernel<NativeOps> {
  return kernel(kernelName, run);
}

/** A kernel of backends with gradient kernels. */
export function gradientKernel<K extends KernelName>(
  kernelName: K,
  run: Run<K, NativeGradientOps>,
): NativeKernel {
  return kernel(kernelName, run);
}

function kernel<K extends KernelName, Ops extends NativeOps>(
  kernelName: K,
  run: Run<K, Ops>,
): NativeKernel<Ops> {
  return {
    kernelName,
    // tfjs passes generic maps of tensors and attributes. Kernels has their types.
    run: (inputs, attrs, tensors) =>
      run(inputs as KernelInputs<K>, attrs as KernelAttrs<K>, tensors),
  };
}

/** The kernel in the form that tfjs registers. */
export function kernelConfig<Ops extends NativeOps>(
  backendName: string,
  { kernelName, run }: NativeKernel<Ops>,
  tensorsOf: (backend: unknown) => NativeTensors<Ops>,
): tf.KernelConfig {
  return {
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs, backend }) => run(inputs, attrs, tensorsOf(backend)),
  };
}

/** The address of an optional input; 0 if it is absent or a placeholder. */
export function optionalAddress(
  tensors: NativeTensors,
  tensor: tf.TensorInfo | undefined,
): Address {
  return isGiven(tensor) ? tensors.address(tensor) : 0;
}

/** The addresses of inputs by name; 0 for one that is absent or a placeholder. */
export function addressesOf<Name extends string>(
  tensors: NativeTensors,
  inputs: Readonly<Record<Name, tf.TensorInfo | undefined>>,
): Record<Name, Address> {
  // A loop that fills the object: lists of entries take much of a small model's time.
  const addresses = {} as Record<Name, Address>;
  for (const name in inputs) addresses[name] = optionalAddress(tensors, inputs[name]);
  return addresses;
}

/** Outputs of the shapes of inputs, by name; none where the input is absent. */
export function outputsLike<Name extends string>(
  tensors: NativeTensors,
  inputs: Readonly<Record<Name, tf.TensorInfo | undefined>>,
): { infos: tf.TensorInfo[]; addresses: Record<Name, Address> } {
  const infos: tf.TensorInfo[] = [];
  const addresses = {} as Record<Name, Address>;
  for (const name in inputs) {
    const input: tf.TensorInfo | undefined = inputs[name];
    const output = isGiven(input) ? tensors.allocate(input.shape) : undefined;
    if (output) infos.push(output.info);
    addresses[name] = output?.address ?? 0;
  }
  return { infos, addresses };
}

/** False for an absent input and for a placeholder, which is empty. */
export function isGiven(tensor: tf.TensorInfo | undefined): tensor is tf.TensorInfo {
  return tensor !== undefined && sizeOf(tensor.shape) > 0;
}

/** The infos of the present outputs. */
export function infosOf(outputs: readonly (Output | undefined)[]): tf.TensorInfo[] {
  return outputs.flatMap((output) => (output ? [output.info] : []));
}

/**
 * The output of a state: its own memory if it has no other owner and no gradient is recorded, else a new
 * tensor.
 */
export function stateOutput(
  tensors: NativeTensors,
  state: tf.TensorInfo | undefined,
  shape: readonly number[],
): Output {
  if (!isGiven(state) || !canOverwrite(tensors, state)) return tensors.allocate(shape);
  return {
    info: { ...sharedOutput(tensors, state), shape: [...shape] },
    address: tensors.address(state),
  };
}

/** An input returned as an output: shares the memory and counts one more reference. */
export function sharedOutput(
  tensors: NativeTensors,
  { dataId, shape, dtype }: tf.TensorInfo,
): tf.TensorInfo {
  tensors.incRef(dataId);
  return { dataId, shape, dtype };
}

/** Whether a kernel may overwrite an input that is replaced by the output. */
export function canOverwrite(tensors: NativeTensors, tensor: tf.TensorInfo): boolean {
  return tensors.isSoleOwner(tensor) && tf.engine().state.gradientDepth === 0;
}
