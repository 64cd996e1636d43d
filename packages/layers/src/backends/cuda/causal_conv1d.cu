// Depthwise causal convolution of many tokens, and the window of inputs for the next call.
// In a compiled decode step it is fused into the projection before it: packed_matvec.cu.
#include "activations.h"

struct ConvArgs {
  const void *x;
  const float *weight, *bias, *before;
  /** Has x's type. */
  void *y;
  /** New window, if one run covers the call; else null. May be `before`. */
  float *after;
  int x_stride, y_stride, length, channels, width, activation;
};

/** Tokens per thread. */
#define CONV_RUN 8

/** Input i of the history: the window of `width` earlier inputs, then the tokens of this call. */
template <typename T>
static __device__ __forceinline__ float history(const float *before, const T *x, int x_stride, int i,
                                                int c, size_t b, int length, int channels,
                                                int width) {
  if (i >= width) return to_float(x[(b * length + i - width) * x_stride + c]);
  return before == nullptr ? 0.0f : before[(b * width + i) * channels + c];
}

/** Writes the new window of a channel. In this order no input is overwritten before it is read. */
template <typename T>
static __device__ __forceinline__ void update_channel_window(float *after, const float *before,
                                                             const T *x, int x_stride, int c, size_t b,
                                                             int length, int channels, int width) {
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
  update_channel_window(a.after, a.before, x, a.x_stride, c, b, a.length, a.channels, a.width);
}

KERNEL(causal_conv1d, ConvArgs, 128) { convolve<float>(a); }
KERNEL(causal_conv1d_bf16, ConvArgs, 128) { convolve<uint16_t>(a); }

struct WindowArgs {
  const void *x;
  const float *before;
  float *after;
  int x_stride, length, channels, width;
};

/** Writes the new window after a call of several runs. Grid (channels / threads, batch). */
template <typename T>
static __device__ __forceinline__ void update_window(const WindowArgs &a) {
  int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= a.channels) return;
  const T *x = static_cast<const T *>(a.x);
  update_channel_window(a.after, a.before, x, a.x_stride, c, blockIdx.y, a.length, a.channels,
                        a.width);
}

KERNEL(conv_window, WindowArgs, 128) { update_window<float>(a); }
KERNEL(conv_window_bf16, WindowArgs, 128) { update_window<uint16_t>(a); }
