// Registers the kernels of this backend.
import { elementwiseKernels, matMulKernels, sumKernel } from '../native/core/arithmetic.js';
import { shapeKernels } from '../native/core/shapes.js';
import { registerKernels } from '../native/register_kernels.js';
import { asSimd } from './backend.js';
import { elementwiseIds } from './core/elementwise.js';
import { rowsKernels } from './core/rows.js';
import { BACKEND_NAME } from './ops.js';

export function registerAllKernels(): void {
  const core = [
    ...shapeKernels,
    ...elementwiseKernels(elementwiseIds),
    ...matMulKernels,
    sumKernel,
  ];
  registerKernels(BACKEND_NAME, [...core, ...rowsKernels], asSimd);
}
