// EmbeddingLookupGrad: rows that come more than once are added up, in the order of the ids.
import { simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';

export const embeddingLookupGradKernel = simdKernel(
  'EmbeddingLookupGrad',
  ({ ids, dy }, { rows }, backend) => {
    const { runtime } = backend;
    const columns = dy.shape.at(-1) ?? 0;
    const given = [backend.address(ids), backend.address(dy)];
    const dweight = backend.allocate([rows, columns]);
    runtime.floats(dweight.address, rows * columns).fill(0);
    runtime.args.set([...given, dweight.address, ids.size, columns, rows]);
    const units = Math.ceil(columns / 64);
    runtime.run(KernelId.EmbeddingLookupGrad, units, runtime.chunk(ids.size * 64));
    return dweight.info;
  },
);
