// Gradient of an embedding table. Gradients of repeated ids are added in the order of the ids, so that
// the sum is deterministic.
#include "device.h"

#define LOOKUP_THREADS 256

struct LookupGradArgs {
  const int *ids;
  const float *dy;
  /** Must be zeros before the call. */
  float *dweight;
  int count, rows, columns;
};

/**
 * The block of an id's first occurrence sums dy over all occurrences. One thread per column. Grid
 * (count, columns / threads).
 */
KERNEL(embedding_lookup_grad, LookupGradArgs, LOOKUP_THREADS) {
  __shared__ float scratch[32];
  __shared__ uint32_t matches[LOOKUP_THREADS / 32];
  int first = blockIdx.x, id = a.ids[first];
  if (id < 0 || id >= a.rows) return;
  float earlier = 0;
  for (int i = threadIdx.x; i < first; i += LOOKUP_THREADS) {
    if (a.ids[i] == id) earlier = 1;
  }
  if (block_max(earlier, scratch) > 0.0f) return;

  int column = blockIdx.y * LOOKUP_THREADS + threadIdx.x;
  float sum = 0;
  for (int start = first; start < a.count; start += LOOKUP_THREADS) {
    int i = start + threadIdx.x;
    uint32_t found = __ballot_sync(ALL_LANES, i < a.count && a.ids[i] == id);
    if ((threadIdx.x & 31) == 0) matches[threadIdx.x >> 5] = found;
    __syncthreads();
    if (column < a.columns) {
      for (int w = 0; w < LOOKUP_THREADS / 32; w++) {
        for (uint32_t bits = matches[w]; bits != 0; bits &= bits - 1) {
          size_t position = start + w * 32 + __ffs(bits) - 1;
          sum += a.dy[position * a.columns + column];
        }
      }
    }
    __syncthreads();
  }
  if (column < a.columns) a.dweight[static_cast<size_t>(id) * a.columns + column] = sum;
}
