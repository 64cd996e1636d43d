// A model as its architecture describes it: the tensors of its checkpoint, the parameters that layers take, the
// layers made of them.
import type {
  Embedding,
  Norm,
  PackedWeight,
  ParameterSpec,
  Parameters,
  ResidualBlock,
} from '@rene-js/layers';
import type * as tf from '@tensorflow/tfjs-core';

/** The model's parts, in the order that a token passes them. */
export interface Backbone {
  readonly embedding: Embedding;
  /**
   * The residual stream is held divided by `streamScale`, so that blocks add to it unscaled: the norms, whose eps
   * is divided by its square, give the same. 1 where the original multiplies no block's output.
   */
  readonly streamScale: number;
  /** Multiplies the embedding's rows to give the stream as it is held. */
  readonly embeddingScale: number;
  /** Each is a sequence of blocks. */
  readonly layers: readonly (readonly ResidualBlock[])[];
  readonly normF: Norm;
  /** Multiplies the logits; it is in normF's weight. */
  readonly logitsScale: number;
  /** (paddedVocabSize, dModel); the embedding's own where they are tied. */
  readonly head: PackedWeight;
  readonly headBias: tf.Tensor | undefined;
}

/** Some rows of a checkpoint's tensor, times a number. A vector's rows are its numbers. */
export interface RowSlice {
  readonly tensor: string;
  readonly first: number;
  readonly rows: number;
  readonly scale: number;
}

/** A parameter of the layers: rows of the checkpoint's tensors, one after the other. */
export interface LayerParameter extends Pick<ParameterSpec, 'name' | 'shape' | 'kind'> {
  readonly slices: readonly RowSlice[];
}

/** A line of a model's summary. */
export interface LayerOutline {
  readonly name: string;
  /** Its layers' classes. */
  readonly kind: string;
  /** What the names of its tensors start with. */
  readonly prefix: string;
}

/** The tensors of a model's checkpoint. */
export interface CheckpointTensors {
  /** All of them, with their initial distributions. */
  readonly tensors: readonly ParameterSpec[];
  /** The embedding's tensor. */
  readonly embedding: string;
  /** What the layers take, by names of their own; absent where that is the checkpoint's tensors as they are. */
  readonly parameters?: readonly LayerParameter[];
}

export interface Blueprint extends CheckpointTensors {
  readonly outline: {
    readonly layers: readonly LayerOutline[];
    readonly normF: LayerOutline;
  };
  /** Makes the layers. */
  build(parameters: Parameters): Backbone;
  /** Bytes of a sequence's state after some tokens. */
  stateBytes(tokens: number): number;
}
