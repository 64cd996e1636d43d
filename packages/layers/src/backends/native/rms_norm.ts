// RmsNorm and GatedRmsNorm.
import { nativeKernel, optionalAddress } from './kernel.js';

export const rmsNormKernel = nativeKernel('RmsNorm', ({ x, weight }, { eps }, tensors) => {
  const y = tensors.allocate(x.shape);
  const columns = x.shape.at(-1) ?? 0;
  tensors.ops.norm({
    x: tensors.address(x),
    xStride: columns,
    weight: tensors.address(weight),
    y: y.address,
    yStride: columns,
    rows: x.size / columns,
    columns,
    groupSize: columns,
    eps,
  });
  return y.info;
});

export const gatedRmsNormKernel = nativeKernel(
  'GatedRmsNorm',
  ({ x, z, weight }, { groupSize, eps, normBeforeGate }, tensors) => {
    const y = tensors.allocate(x.shape);
    const columns = x.shape.at(-1) ?? 0;
    tensors.ops.norm({
      x: tensors.address(x),
      xStride: columns,
      z: optionalAddress(tensors, z),
      zStride: columns,
      weight: tensors.address(weight),
      y: y.address,
      yStride: columns,
      rows: x.size / columns,
      columns,
      groupSize,
      eps,
      normBeforeGate,
    });
    return y.info;
  },
);
