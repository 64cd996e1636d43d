// The blueprint of a model: the tensors of its checkpoint, the parameters of its layers, and how to build the
// layers.
import type {
  Embedding,
  Norm,
  PackedWeight,
  ParameterSpec,
  Parameters,
  ResidualBlock,
} from '@rene-js/layers';
import type * as tf from '@tensorflow/tfjs-core';

/** The parts of a model, in the order of the forward pass. */
export interface Backbone {
  readonly embedding: Embedding;
  /**
   * The residual stream is the original's divided by these numbers: after the embedding, then after each
   * layer. So blocks add their output unscaled, and no matrix has a factor. The norms cancel the division,
   * with eps divided by its square. All 1 if the original does not scale the blocks' outputs.
   */
  readonly streamScales: readonly number[];
  /** Multiplies the embedding's rows to give the residual stream. */
  readonly embeddingScale: number;
  /** One per layer: a sequence of blocks. */
  readonly layers: readonly (readonly ResidualBlock[])[];
  readonly normF: Norm;
  /** Factor of the logits. It is included in normF's weight. */
  readonly logitsScale: number;
  /** (paddedVocabSize, dModel); the embedding's weight if they are tied. */
  readonly head: PackedWeight;
  readonly headBias: tf.Tensor | undefined;
}

/** Some rows of a checkpoint's tensor, times a factor. The rows of a vector are its elements. */
export interface RowSlice {
  readonly tensor: string;
  readonly first: number;
  readonly rows: number;
  readonly scale: number;
}

/** A parameter of a layer: rows of the checkpoint's tensors, concatenated. */
export interface LayerParameter extends Pick<ParameterSpec, 'name' | 'shape' | 'kind'> {
  readonly slices: readonly RowSlice[];
}

/** One line of a model's summary. */
export interface LayerOutline {
  readonly name: string;
  /** The classes of its layers. */
  readonly kind: string;
  /** The prefix of its tensors' names. */
  readonly prefix: string;
}

/** The tensors of a model's checkpoint. */
export interface CheckpointTensors {
  /** All tensors, with their initial distributions. */
  readonly tensors: readonly ParameterSpec[];
  /** The embedding's tensor. */
  readonly embedding: string;
  /** The layers' parameters, under their own names. Absent if they are the checkpoint's tensors. */
  readonly parameters?: readonly LayerParameter[];
}

export interface Blueprint extends CheckpointTensors {
  readonly outline: {
    readonly layers: readonly LayerOutline[];
    readonly normF: LayerOutline;
  };
  /** Builds the layers. */
  build(parameters: Parameters): Backbone;
  /** Size of a sequence's state after this many tokens, in bytes. */
  stateBytes(tokens: number): number;
}
