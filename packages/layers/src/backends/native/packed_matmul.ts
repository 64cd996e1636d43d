// PackedMatMul: a matmul, its bias, activation and residual in one call.
import { nativeKernel, optionalAddress } from './kernel.js';
import { linear } from './linear_input.js';
import { projection } from './weights.js';

export const packedMatMulKernel = nativeKernel('PackedMatMul', (inputs, attrs, tensors) => {
  const { x, weight, bias, residual } = inputs;
  const [outFeatures = 0, inFeatures = 0] = attrs.weight.shape;
  const matrix = projection('PackedMatMul', tensors, weight, attrs.weight, bias);
  const y = tensors.allocate([...x.shape.slice(0, -1), outFeatures]);
  const rows = { x: tensors.address(x), xStride: inFeatures, rows: x.size / inFeatures };
  linear(tensors.ops, rows, matrix, {
    y: y.address,
    yStride: outFeatures,
    activation: attrs.activation,
    residual: optionalAddress(tensors, residual),
  });
  return y.info;
});
