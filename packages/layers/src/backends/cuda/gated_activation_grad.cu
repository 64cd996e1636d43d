// Gradient of activation(x), or of activation(x) * multiplier.
#include "device.h"

struct ActivateGradArgs {
  const float *x, *multiplier, *dy;
  float *dx, *dmultiplier;
  int size, activation;
};

KERNEL(gated_activation_grad, ActivateGradArgs, 256) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < a.size; i += gridDim.x * blockDim.x) {
    float x = a.x[i], d = a.dy[i];
    if (a.multiplier != nullptr) {
      a.dmultiplier[i] = d * activate(x, a.activation);
      d *= a.multiplier[i];
    }
    a.dx[i] = d * activate_grad(x, a.activation);
  }
}
