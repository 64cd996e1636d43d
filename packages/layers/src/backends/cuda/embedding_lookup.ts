// EmbeddingLookup: rows of the same packed table that the head multiplies by.
import { cudaKernel } from './kernel.js';
import { checkLayout, formatIds, layoutOf, PACKED_F16 } from './layout.js';

export const embeddingLookupKernel = cudaKernel(
  'EmbeddingLookup',
  ({ ids, weight }, attrs, backend) => {
    checkLayout('EmbeddingLookup', attrs.weight);
    const { format, layout, shape } = attrs.weight;
    const [rows = 0, columns = 0] = shape;
    const { pitch, group, groups, paramsAt } = layoutOf(attrs.weight);
    const table = backend.address(weight);
    const y = backend.allocate([...ids.shape, columns]);
    backend.runtime.launch(
      'unpack_rows',
      { grid: [ids.size], block: 256 },
      [table, table + paramsAt, backend.address(ids), y.address],
      [
        ...[pitch, rows, columns, columns, formatIds[format], group, groups],
        ...[layout === PACKED_F16 ? 1 : 0, 0, formatIds.f32],
      ],
    );
    return y.info;
  },
);
