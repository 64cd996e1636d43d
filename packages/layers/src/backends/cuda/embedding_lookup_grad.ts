// EmbeddingLookupGrad: rows that come more than once are added up, in the order of the ids.
import { cudaKernel } from './kernel.js';
import { overElements } from './reductions.js';

export const embeddingLookupGradKernel = cudaKernel(
  'EmbeddingLookupGrad',
  ({ ids, dy }, { rows }, backend) => {
    const { runtime } = backend;
    const columns = dy.shape.at(-1) ?? 0;
    const size = rows * columns;
    const dweight = backend.allocate([rows, columns]);
    runtime.launch('fill', overElements(runtime, size), [dweight.address], [size, 0]);
    runtime.launch(
      'embedding_lookup_grad',
      { grid: [ids.size, Math.ceil(columns / 256)], block: 256 },
      [backend.address(ids), backend.address(dy), dweight.address],
      [ids.size, rows, columns],
    );
    return dweight.info;
  },
);
