// Registers the kernels of this backend.
import { kernelConfig } from '../native/kernel.js';
import { nativeKernels } from '../native/kernels.js';
import { registerKernels } from '../native/register_kernels.js';
import { asSimd } from './backend.js';
import { castKernel } from './core/cast.js';
import { elementwiseKernels } from './core/elementwise.js';
import { matMulKernels } from './core/mat_mul.js';
import { reductionKernels } from './core/reductions.js';
import { shapeKernels } from './core/shapes.js';
import { BACKEND_NAME } from './ops.js';

export function registerAllKernels(): void {
  registerKernels(BACKEND_NAME, [
    ...nativeKernels.map((kernel) => kernelConfig(BACKEND_NAME, kernel, asSimd)),
    castKernel,
    ...elementwiseKernels,
    ...matMulKernels,
    ...reductionKernels,
    ...shapeKernels,
  ]);
}
