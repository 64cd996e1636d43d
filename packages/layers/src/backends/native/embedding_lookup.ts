// EmbeddingLookup: rows of the packed table that the head multiplies by. EmbeddingLookupGrad.
import { gradientKernel, nativeKernel } from './kernel.js';
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

export const embeddingLookupGradKernel = gradientKernel(
  'EmbeddingLookupGrad',
  ({ ids, dy }, { rows }, tensors) => {
    const columns = dy.shape.at(-1) ?? 0;
    const dweight = tensors.allocate([rows, columns]);
    tensors.ops.lookUpGrad({
      ids: tensors.address(ids),
      count: ids.size,
      dy: tensors.address(dy),
      dweight: dweight.address,
      rows,
      columns,
    });
    return dweight.info;
  },
);
