// AdamW step of one tensor, fused: moments and variable are read once and written once.
#include "device.h"

struct AdamWArgs {
  const float *variable, *mean, *square, *gradient;
  float *new_variable, *new_mean, *new_square;
  int size;
  /** `scale` multiplies the gradient. */
  float scale, beta1, one_minus_beta1, beta2, one_minus_beta2;
  /** square_correction: bias correction of the second moment; step_size includes that of the first. */
  float square_correction, eps, step_size, decay;
};

KERNEL(adamw_step, AdamWArgs, 256) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < a.size; i += gridDim.x * blockDim.x) {
    float gradient = a.gradient[i] * a.scale;
    float mean = a.mean[i] * a.beta1 + gradient * a.one_minus_beta1;
    float square = a.square[i] * a.beta2 + gradient * gradient * a.one_minus_beta2;
    a.new_mean[i] = mean;
    a.new_square[i] = square;
    float deviation = sqrtf(square * a.square_correction) + a.eps;
    a.new_variable[i] = a.variable[i] * a.decay + mean / deviation * a.step_size;
  }
}
