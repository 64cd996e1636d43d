// EmbeddingLookup: rows of the same packed table that the head multiplies by.
import { simdKernel } from './kernel.js';
import { checkLayout } from './layout.js';
import { unpackRows } from './packing.js';

export const embeddingLookupKernel = simdKernel(
  'EmbeddingLookup',
  ({ ids, weight }, attrs, backend) => {
    checkLayout('EmbeddingLookup', attrs.weight);
    const [, columns = 0] = attrs.weight.shape;
    const y = backend.allocate([...ids.shape, columns]);
    unpackRows(backend.runtime, backend.address(weight), attrs.weight, {
      ids: backend.address(ids),
      count: ids.size,
      to: y.address,
    });
    return y.info;
  },
);
