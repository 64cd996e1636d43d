// PackedMatMul: one product, its bias, activation and residual in one pass.
import { cudaKernel, isGiven, optionalAddress } from './kernel.js';
import { checkLayout } from './layout.js';
import { linear } from './linear.js';

export const packedMatMulKernel = cudaKernel('PackedMatMul', (inputs, attrs, backend) => {
  const { x, weight, bias, residual } = inputs;
  checkLayout('PackedMatMul', attrs.weight);
  const [outFeatures = 0, inFeatures = 0] = attrs.weight.shape;
  const y = backend.allocate([...x.shape.slice(0, -1), outFeatures]);
  linear(backend.runtime, {
    x: backend.address(x),
    xStride: inFeatures,
    rows: x.size / inFeatures,
    weight: backend.address(weight),
    attrs: attrs.weight,
    bias: optionalAddress(backend, bias),
    activation: attrs.activation,
    residual: isGiven(residual) ? backend.address(residual) : 0,
    y: y.address,
    yStride: outFeatures,
  });
  return y.info;
});
