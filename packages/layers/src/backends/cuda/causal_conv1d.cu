// Depthwise causal convolution of many tokens, and the window that the next tokens need.
// (A decoded token's convolution is part of the projection before it: packed_matmul.cu.)
#include "device.h"

struct ConvArgs {
  const float *x, *weight, *bias, *before;
  float *y;
  int x_stride, y_stride, length, channels, width, activation;
};

/** Tokens of a thread. */
#define CONV_RUN 8

/** Input `i` of the history: the `width` inputs before the first token, then the tokens. */
static __device__ __forceinline__ float history(const float *before, const float *x, int x_stride,
                                                int i, int c, size_t b, int length, int channels,
                                                int width) {
  if (i >= width) return x[(b * length + i - width) * x_stride + c];
  return before == nullptr ? 0.0f : before[(b * width + i) * channels + c];
}

/** Grid (channels / threads, length / CONV_RUN, batch). */
KERNEL(causal_conv1d, ConvArgs, 128) {
  int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= a.channels) return;
  size_t b = blockIdx.z;
  const float *weight = a.weight + static_cast<size_t>(c) * a.width;
  float bias = a.bias == nullptr ? 0.0f : a.bias[c];
  int first = blockIdx.y * CONV_RUN, last = min(first + CONV_RUN, a.length);
  for (int t = first; t < last; t++) {
    float sum = bias;
    for (int w = 0; w < a.width; w++) {
      float x = history(a.before, a.x, a.x_stride, t + 1 + w, c, b, a.length, a.channels, a.width);
      sum += x * weight[w];
    }
    a.y[(b * a.length + t) * a.y_stride + c] = activate(sum, a.activation);
  }
}

struct WindowArgs {
  const float *x, *before;
  float *after;
  int x_stride, length, channels, width;
};

/** The last `width` inputs. Grid (channels / threads, batch). `after` may be `before`. */
KERNEL(conv_window, WindowArgs, 128) {
  int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= a.channels) return;
  size_t b = blockIdx.y;
  // In this order no input is overwritten before it was read.
  for (int w = 0; w < a.width; w++) {
    a.after[(b * a.width + w) * a.channels + c] =
        history(a.before, a.x, a.x_stride, a.length + w, c, b, a.length, a.channels, a.width);
  }
}
