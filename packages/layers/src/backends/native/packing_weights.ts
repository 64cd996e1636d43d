// The column weights of a matrix in a backend's memory while it is quantised to 4 bits.
import { columnWeights } from '../../weights/column_weights.js';
import type { StoredMatrix } from '../../weights/packing.js';
import type { Address } from './address.js';
import type { NativeOps } from './ops.js';
import type { WeightShape } from './packing.js';

export class PackingWeights {
  /** The matrix whose reads set the weights. */
  readonly matrix: StoredMatrix;
  /** 0 if all weights are 1. */
  address: Address = 0;

  constructor(
    private readonly ops: Pick<NativeOps, 'blocks' | 'upload'>,
    matrix: StoredMatrix,
    { format, groupSize }: Pick<WeightShape, 'format' | 'groupSize'>,
  ) {
    this.matrix = format === 'int4' ? this.weighed(matrix, groupSize) : matrix;
  }

  dispose(): void {
    if (this.address !== 0) this.ops.blocks.release(this.address);
    this.address = 0;
  }

  /** The first rows that are read give the weights. */
  private weighed(matrix: StoredMatrix, groupSize: number): StoredMatrix {
    const readRows: StoredMatrix['readRows'] = async (first, count, into) => {
      const bytes = await matrix.readRows(first, count, into);
      const weights = first === 0 ? columnWeights(matrix, bytes, groupSize) : undefined;
      if (weights) {
        this.address = this.ops.blocks.allocate(weights.byteLength);
        this.ops.upload(this.address, new Uint8Array(weights.buffer));
      }
      return bytes;
    };
    return { ...matrix, readRows };
  }
}
