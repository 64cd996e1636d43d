// A step of AdamW for one tensor: its moments and its variable read once and written once.
#include "device.h"

struct AdamWArgs {
  const float *variable, *mean, *square, *gradient;
  float *new_variable, *new_mean, *new_square;
  int size;
  /** What the gradient is multiplied by; the moments' factors, theirs and the gradient's. */
  float scale, beta1, rest1, beta2, rest2;
  /** Of the second moment; of the update; of the variable. */
  float square_correction, eps, step, kept;
};

KERNEL(adamw_step, AdamWArgs, 256) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < a.size; i += gridDim.x * blockDim.x) {
    float gradient = a.gradient[i] * a.scale;
    float mean = a.mean[i] * a.beta1 + gradient * a.rest1;
    float square = a.square[i] * a.beta2 + gradient * gradient * a.rest2;
    a.new_mean[i] = mean;
    a.new_square[i] = square;
    float deviation = sqrtf(square * a.square_correction) + a.eps;
    a.new_variable[i] = a.variable[i] * a.kept + mean / deviation * a.step;
  }
}
