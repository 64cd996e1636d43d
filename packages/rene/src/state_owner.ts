// The model of a recurrent state.
import type { LayerState } from '@rene-js/layers';
import type { ReadTensor } from '@rene-js/layers/internal';

/** The model of a state, as far as a copy outside the backend needs it. */
export interface StateOwner {
  /** Fingerprint: differs between models whose states are incompatible. */
  fingerprint(): Promise<string>;
  /**
   * Layer states from stored tensors, one per block.
   *
   * @param read reads the tensors of a block
   * @param positions tokens seen by each row
   */
  restoreLayers(
    read: (block: number) => ReadTensor,
    positions: readonly number[],
  ): Promise<(LayerState | null)[]>;
}
