// EmbeddingLookupGrad: the rows of ids that occur more than once are added up.
import { gradientKernel } from './kernel.js';

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
