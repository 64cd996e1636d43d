// The custom kernels as TensorFlow ops: the inputs of each, in their order, and the states it moves on.
import type { KernelName } from '../../kernel_names.js';

/** float32 or int32; 'weight' is either: plain f32 rows, or int32 words in a layout of ours. */
export type InputType = 'float' | 'int32' | 'weight';

export interface OpInput {
  readonly name: string;
  readonly type: InputType;
  readonly optional: boolean;
}

export interface OpDefinition {
  readonly inputs: readonly OpInput[];
  /** The inputs that the outputs after the first replace, in their order. */
  readonly states: readonly string[];
  /**
   * An attribute of integers that change from call to call. They travel as an input in host memory:
   * TensorFlow keeps a kernel for every set of attributes that it has ever seen.
   */
  readonly integers?: string;
  readonly output: 'float' | 'int32';
}

/** 'x', 'ids: int32', 'weight: weight'; with a question mark after the name it need not be there. */
export function parseInput(text: string): OpInput {
  const [, name = '', optional, type = 'float'] =
    /^(\w+)(\?)?(?:: (int32|weight|float))?$/.exec(text) ?? [];
  return { name, optional: optional === '?', type: isInputType(type) ? type : 'float' };
}

function isInputType(type: string): type is InputType {
  return type === 'float' || type === 'int32' || type === 'weight';
}

function op(
  inputs: string,
  rest: Partial<Pick<OpDefinition, 'states' | 'integers'>> = {},
): OpDefinition {
  return { inputs: inputs.split(', ').map(parseInput), states: [], output: 'float', ...rest };
}

export const opDefinitions: Partial<Record<KernelName, OpDefinition>> = {
  RmsNorm: op('x, weight'),
  GatedRmsNorm: op('x, z?, weight'),
  CausalConv1d: op('x, weight, bias?, state?', { states: ['state'] }),
  SsdScan: op('x, dt, A, B, C, D?, dtBias?, state?', { states: ['state'] }),
  SlidingWindowAttention: op('q, k, v, ringK?, ringV?', {
    states: ['ringK', 'ringV'],
    integers: 'positions',
  }),
  PackedMatMul: op('x, weight: weight, bias?, residual?'),
  EmbeddingLookup: op('ids: int32, weight: weight'),
  GatedActivation: op('x, multiplier?'),
  CrossEntropy: op('logits, targets: int32'),
  CrossEntropyGrad: op('logits, targets: int32, dy'),
  Mamba2Mixer: op(
    'x, residual?, inProj: weight, inProjBias?, convWeight, convBias?, dtBias, A, D, normWeight?, ' +
      'outProj: weight, outProjBias?, convState?, ssmState?',
    { states: ['convState', 'ssmState'] },
  ),
  AttentionMixer: op(
    'x, residual?, inProj: weight, inProjBias?, outProj: weight, outProjBias?, ringK?, ringV?',
    { states: ['ringK', 'ringV'], integers: 'positions' },
  ),
  GatedMLP: op(
    'x, residual?, inProj: weight, inProjBias?, gateProj?: weight, gateProjBias?, normWeight?, ' +
      'outProj: weight, outProjBias?',
  ),
};
