// EmbeddingLookup: rows of the packed table that the head multiplies by.
import { nativeKernel } from './kernel.js';
import { checkLayout } from './weights.js';

export const embeddingLookupKernel = nativeKernel(
  'EmbeddingLookup',
  ({ ids, weight }, attrs, tensors) => {
    checkLayout('EmbeddingLookup', tensors.ops, attrs.weight);
    const [, columns = 0] = attrs.weight.shape;
    const y = tensors.allocate([...ids.shape, columns]);
    tensors.ops.lookUp({
      table: tensors.address(weight),
      attrs: attrs.weight,
      ids: tensors.address(ids),
      rows: ids.size,
      y: y.address,
    });
    return y.info;
  },
);
