// Depthwise causal convolution of many tokens, and the window that the next tokens need.
// (In a compiled step of few rows it is part of the projection before it: packed_matvec.cu.)
#include "device.h"

struct ConvArgs {
  const float *x, *weight, *bias, *before;
  /** Where the window goes of a call that one run covers; null for none. May be `before`. */
  float *y, *after;
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

/** The last `width` inputs of a channel. In this order none is overwritten before it was read. */
static __device__ __forceinline__ void move_window(float *after, const float *before,
                                                   const float *x, int x_stride, int c, size_t b,
                                                   int length, int channels, int width) {
  for (int w = 0; w < width; w++) {
    after[(b * width + w) * channels + c] =
        history(before, x, x_stride, length + w, c, b, length, channels, width);
  }
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
  if (a.after == nullptr) return;
  move_window(a.after, a.before, a.x, a.x_stride, c, b, a.length, a.channels, a.width);
}

struct WindowArgs {
  const float *x, *before;
  float *after;
  int x_stride, length, channels, width;
};

/** The window after many runs. Grid (channels / threads, batch). `after` may be `before`. */
KERNEL(conv_window, WindowArgs, 128) {
  int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= a.channels) return;
  move_window(a.after, a.before, a.x, a.x_stride, c, blockIdx.y, a.length, a.channels, a.width);
}
