import { requireRows } from '../backends/composed/packed_matmul.js';
import { defineGradient, output, runKernel1 } from '../registry.js';

defineGradient('EmbeddingLookup', (dys, { ids }, { weight }) => {
  requireRows('EmbeddingLookup gradient', weight);
  const [rows = 0] = weight.shape;
  return {
    weight: () => runKernel1('EmbeddingLookupGrad', { ids, dy: output(dys, 0) }, { rows }),
  };
});
