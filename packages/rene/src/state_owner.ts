// The model of a recurrent state.
import type { LayerState } from '@rene-js/layers';
import type { ReadTensor } from '@rene-js/layers/internal';

/** The model that a state belongs to, as far as a copy outside the backend needs it. */
export interface StateOwner {
  /** Differs between models whose states mean different things. */
  fingerprint(): Promise<string>;
  /**
   * Layer states of stored tensors, one a block.
   *
   * @param read reads the tensors of a block
   * @param positions tokens seen by each row
   */
  restoreLayers(
    read: (block: number) => ReadTensor,
    positions: readonly number[],
  ): Promise<(LayerState | null)[]>;
}
