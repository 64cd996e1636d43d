// Gradient of the depthwise causal convolution: of the pre-activation, then of the inputs, then of taps
// and bias as partial sums over runs of tokens.
#include "device.h"

/** Tokens per partial sum of the gradients of taps and bias. */
#define CONV_GRAD_RUN 64

struct ConvGradArgs {
  const float *x, *weight, *bias, *before, *dy, *dafter;
  /**
   * dz: gradient of the pre-activation. Partial sums: [sequence, run][channel][tap] and
   * [sequence, run][channel].
   */
  float *dz, *dx, *dbefore, *weight_parts, *bias_parts;
  int length, channels, width, activation;
};

/** Input j of the history: the window, then the tokens of this call. */
static __device__ __forceinline__ float conv_input(const ConvGradArgs &a, int j, int c, size_t b) {
  if (j >= a.width) return a.x[(b * a.length + j - a.width) * a.channels + c];
  return a.before == nullptr ? 0.0f : a.before[(b * a.width + j) * a.channels + c];
}

/** dz = dy activation'(z), with z the convolution's output. Grid (length, channels / threads, batch). */
KERNEL(conv_grad_before_activation, ConvGradArgs, 128) {
  int c = blockIdx.y * blockDim.x + threadIdx.x, t = blockIdx.x;
  if (c >= a.channels) return;
  size_t b = blockIdx.z, at = (b * a.length + t) * a.channels + c;
  const float *taps = a.weight + static_cast<size_t>(c) * a.width;
  float sum = a.bias == nullptr ? 0.0f : a.bias[c];
  for (int w = 0; w < a.width; w++) sum += conv_input(a, t + 1 + w, c, b) * taps[w];
  a.dz[at] = a.dy[at] * activate_grad(sum, a.activation);
}

/**
 * Gradient of input j of the history. Output t uses input j with tap j - t - 1. The last inputs are also
 * the window after the call. Grid (width + length, channels / threads, batch).
 */
KERNEL(conv_grad_inputs, ConvGradArgs, 128) {
  int c = blockIdx.y * blockDim.x + threadIdx.x, j = blockIdx.x;
  bool in_window = j < a.width;
  if (c >= a.channels || (in_window && a.dbefore == nullptr)) return;
  size_t b = blockIdx.z;
  const float *taps = a.weight + static_cast<size_t>(c) * a.width;
  float sum = 0;
  if (a.dafter != nullptr && j >= a.length) {
    sum = a.dafter[(b * a.width + j - a.length) * a.channels + c];
  }
  for (int w = 0; w < a.width; w++) {
    int t = j - w - 1;
    if (t >= 0 && t < a.length) sum += a.dz[(b * a.length + t) * a.channels + c] * taps[w];
  }
  if (in_window) a.dbefore[(b * a.width + j) * a.channels + c] = sum;
  else a.dx[(b * a.length + j - a.width) * a.channels + c] = sum;
}

/** Grid (channels / threads, runs, batch). */
KERNEL(conv_grad_taps, ConvGradArgs, 128) {
  int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= a.channels) return;
  size_t b = blockIdx.z, part = b * gridDim.y + blockIdx.y;
  int first = blockIdx.y * CONV_GRAD_RUN, end = min(first + CONV_GRAD_RUN, a.length);
  const float *dz = a.dz + b * a.length * a.channels + c;
  float *taps = a.weight_parts + (part * a.channels + c) * a.width;
  for (int w0 = 0; w0 < a.width; w0 += 4) {
    float sums[4] = {}, bias = 0;
    for (int t = first; t < end; t++) {
      float d = dz[static_cast<size_t>(t) * a.channels];
      bias += d;
#pragma unroll
      for (int k = 0; k < 4; k++) {
        if (w0 + k < a.width) sums[k] += d * conv_input(a, t + 1 + w0 + k, c, b);
      }
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
      if (w0 + k < a.width) taps[w0 + k] = sums[k];
    }
    if (w0 == 0 && a.bias_parts != nullptr) a.bias_parts[part * a.channels + c] = bias;
  }
}
