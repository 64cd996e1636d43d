// Depthwise causal convolution of many tokens, and the window that the next tokens need.
// (In a compiled step of few rows it is part of the projection before it: packed_matvec.cu.)
#include "activations.h"

struct ConvArgs {
  const void *x;
  const float *weight, *bias, *before;
  /** Of x's type. */
  void *y;
  /** Where the window goes of a call that one run covers; null for none. May be `before`. */
  float *after;
  int x_stride, y_stride, length, channels, width, activation;
};

/** Tokens of a thread. */
#define CONV_RUN 8

/** Input `i` of the history: the `width` inputs before the first token, then the tokens. */
template <typename T>
static __device__ __forceinline__ float history(const float *before, const T *x, int x_stride, int i,
                                                int c, size_t b, int length, int channels,
                                                int width) {
  if (i >= width) return to_float(x[(b * length + i - width) * x_stride + c]);
  return before == nullptr ? 0.0f : before[(b * width + i) * channels + c];
}

/** The last `width` inputs of a channel. In this order none is overwritten before it was read. */
template <typename T>
static __device__ __forceinline__ void move_window(float *after, const float *before, const T *x,
                                                   int x_stride, int c, size_t b, int length,
                                                   int channels, int width) {
  for (int w = 0; w < width; w++) {
    after[(b * width + w) * channels + c] =
        history(before, x, x_stride, length + w, c, b, length, channels, width);
  }
}

/** Grid (channels / threads, length / CONV_RUN, batch). */
template <typename T>
static __device__ __forceinline__ void convolve(const ConvArgs &a) {
  const T *x = static_cast<const T *>(a.x);
  int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= a.channels) return;
  size_t b = blockIdx.z;
  const float *weight = a.weight + static_cast<size_t>(c) * a.width;
  float bias = a.bias == nullptr ? 0.0f : a.bias[c];
  int first = blockIdx.y * CONV_RUN, last = min(first + CONV_RUN, a.length);
  for (int t = first; t < last; t++) {
    float sum = bias;
    for (int w = 0; w < a.width; w++) {
      float v = history(a.before, x, a.x_stride, t + 1 + w, c, b, a.length, a.channels, a.width);
      sum += v * weight[w];
    }
    T *y = static_cast<T *>(a.y) + (b * a.length + t) * a.y_stride + c;
    assign(y, activate(sum, a.activation));
  }
  if (a.after == nullptr) return;
  move_window(a.after, a.before, x, a.x_stride, c, b, a.length, a.channels, a.width);
}

KERNEL(causal_conv1d, ConvArgs, 128) { convolve<float>(a); }
KERNEL(causal_conv1d_bf16, ConvArgs, 128) { convolve<uint16_t>(a); }

struct WindowArgs {
  const void *x;
  const float *before;
  float *after;
  int x_stride, length, channels, width;
};

/** The window after many runs. Grid (channels / threads, batch). `after` may be `before`. */
template <typename T>
static __device__ __forceinline__ void take_window(const WindowArgs &a) {
  int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= a.channels) return;
  const T *x = static_cast<const T *>(a.x);
  move_window(a.after, a.before, x, a.x_stride, c, blockIdx.y, a.length, a.channels, a.width);
}

KERNEL(conv_window, WindowArgs, 128) { take_window<float>(a); }
KERNEL(conv_window_bf16, WindowArgs, 128) { take_window<uint16_t>(a); }
