// Arguments of the gradient kernels of a native backend. Tensors are f32 and contiguous; gradients of
// inputs that the call leaves out are 0.
import type { AdamWStepAttrs } from '../../kernels.js';
import type { Address } from './address.js';
import type {
  ActivationCall,
  AttentionCall,
  ConvCall,
  CrossEntropyCall,
  NormCall,
  ScanCall,
} from './calls.js';

/** The gradient of NormCall. */
export interface NormGradCall
  extends Pick<NormCall, 'x' | 'weight' | 'rows' | 'columns' | 'groupSize' | 'eps'> {
  z: Address;
  normBeforeGate: boolean;
  dy: Address;
  dx: Address;
  dweight: Address;
  dz: Address;
}

/** The gradient of ConvCall. */
export interface ConvGradCall
  extends Pick<
    ConvCall,
    'x' | 'weight' | 'bias' | 'before' | 'batch' | 'length' | 'channels' | 'width' | 'activation'
  > {
  dy: Address;
  /** The gradient of the window after the call. */
  dafter: Address;
  dx: Address;
  dweight: Address;
  dbias: Address;
  dbefore: Address;
}

/** The gradient of ScanCall. */
export interface ScanGradCall
  extends Omit<ScanCall, `${string}Stride` | 'y' | 'after' | 'format' | 'gate' | 'rounds'> {
  dy: Address;
  /** The gradient of the state after the call. */
  dafter: Address;
  dx: Address;
  ddt: Address;
  dA: Address;
  dB: Address;
  dC: Address;
  dD: Address;
  ddtBias: Address;
  dbefore: Address;
}

/** The gradient of AttentionCall without a KV cache. */
export interface AttentionGradCall
  extends Pick<
    AttentionCall,
    'q' | 'k' | 'v' | 'batch' | 'length' | 'heads' | 'kvHeads' | 'headDim' | 'window' | 'scale'
  > {
  dy: Address;
  dq: Address;
  dk: Address;
  dv: Address;
}

/** The gradient of ActivationCall over `size` numbers. */
export interface ActivationGradCall
  extends Pick<ActivationCall, 'x' | 'multiplier' | 'activation'> {
  dy: Address;
  dx: Address;
  dmultiplier: Address;
  size: number;
}

/** The gradient of LookupCall: rows of dy added up by their ids. */
export interface LookupGradCall {
  /** int32 (count) */
  ids: Address;
  count: number;
  /** (count, columns) */
  dy: Address;
  /** (rows, columns) */
  dweight: Address;
  rows: number;
  columns: number;
}

/** The gradient of CrossEntropyCall. */
export interface CrossEntropyGradCall
  extends Pick<CrossEntropyCall, 'logits' | 'targets' | 'rows' | 'columns'> {
  dy: Address;
  dlogits: Address;
}

/** One AdamW step over `size` values. The results are written to new addresses. */
export interface AdamWCall extends AdamWStepAttrs {
  variable: Address;
  mean: Address;
  square: Address;
  gradient: Address;
  newVariable: Address;
  newMean: Address;
  newSquare: Address;
  size: number;
}
