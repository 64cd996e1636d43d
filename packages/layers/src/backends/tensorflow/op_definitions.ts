// Definitions of the custom kernels that are TensorFlow ops, derived from the table of kernels.
import { type InputSpec, type KernelName, kernels } from '../../kernels.js';

export interface OpInput extends InputSpec {
  readonly name: string;
}

export interface OpDefinition {
  readonly inputs: readonly OpInput[];
  /** The inputs that the outputs after the first one replace, in order. */
  readonly states: readonly string[];
  /**
   * An attribute of integers that vary between calls. It is passed as an input in host memory, since
   * TensorFlow keeps a kernel for each set of attributes.
   */
  readonly integers?: string;
  readonly output: 'float' | 'int32';
}

/** The other kernels, mainly gradients, stay composed. */
const names: readonly KernelName[] = [
  ...(['RmsNorm', 'GatedRmsNorm', 'CausalConv1d', 'SsdScan', 'SlidingWindowAttention'] as const),
  ...(['PackedMatMul', 'EmbeddingLookup', 'GatedActivation', 'CrossEntropy'] as const),
  ...(['CrossEntropyGrad', 'Mamba2Mixer', 'AttentionMixer', 'GatedMLP'] as const),
];

/** The definition of a kernel's TensorFlow op; undefined if it has none. */
export function opDefinition(name: KernelName): OpDefinition | undefined {
  if (!names.includes(name)) return undefined;
  const spec = kernels[name];
  const inputs = Object.entries<InputSpec>(spec.inputs).map(([input, rest]) => ({
    name: input,
    ...rest,
  }));
  const states = 'states' in spec ? spec.states : [];
  return { inputs, states, output: 'float', ...('varies' in spec && { integers: spec.varies }) };
}
