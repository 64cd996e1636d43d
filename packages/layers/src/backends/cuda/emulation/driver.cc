// An emulated libcuda.so.1: the part of CUDA's driver API that rene-js calls, with the same C interface.
#include "emulation.h"

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int

namespace {
enum Result {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  INVALID_DEVICE = 101,
  INVALID_CONTEXT = 201,
  NOT_FOUND = 500,
  LAUNCH_FAILED = 719,
  CAPTURE_UNSUPPORTED = 900,
  CAPTURE_INVALIDATED = 901,
};

/** A node of a graph: a launch, or a copy if there is no kernel. */
struct Node {
  emulation::Launch launch;
  std::vector<char> arguments;
  void *to;
  const void *from;
  size_t bytes;
};
struct Graph {
  std::vector<Node> nodes;
};
struct Stream {
  Graph *capture = nullptr;
};
struct Event {
  double time = 0;
};

bool initialized;
void *context;
std::atomic<int> context_users;
std::atomic<size_t> used_bytes;
const char *last_message = "none";
constexpr size_t total_bytes = size_t{8} << 30;

int launch_now(const emulation::Launch &launch) {
  const char *error = emulation::run(launch);
  if (error == nullptr) return SUCCESS;
  last_message = error;
  return LAUNCH_FAILED;
}

int run_node(const Node &node) {
  if (node.launch.kernel == nullptr) {
    memmove(node.to, node.from, node.bytes);
    return SUCCESS;
  }
  emulation::Launch launch = node.launch;
  launch.arguments = node.arguments.data();
  return launch_now(launch);
}
}  // namespace

API cuInit(unsigned flags) {
  initialized = flags == 0;
  return initialized ? SUCCESS : INVALID_VALUE;
}
API cuDriverGetVersion(int *version) {
  *version = 13000;
  return SUCCESS;
}
API cuDeviceGetCount(int *count) {
  *count = 1;
  return initialized ? SUCCESS : NOT_INITIALIZED;
}
API cuDeviceGet(int *device, int ordinal) {
  *device = ordinal;
  return ordinal == 0 ? SUCCESS : INVALID_DEVICE;
}
API cuDeviceGetName(char *name, int length, int device) {
  strncpy(name, "emulated device", static_cast<size_t>(length));
  return device == 0 ? SUCCESS : INVALID_DEVICE;
}
API cuDeviceTotalMem_v2(size_t *bytes, int device) {
  *bytes = total_bytes;
  return device == 0 ? SUCCESS : INVALID_DEVICE;
}
API cuDeviceGetAttribute(int *value, int attribute, int device) {
  if (attribute == 16) *value = 4;                // multiprocessors
  else if (attribute == 75) *value = 9;           // compute capability
  else if (attribute == 76) *value = 0;
  else if (attribute == 97) *value = 227 << 10;   // maximum shared memory per block (opt-in)
  else return INVALID_VALUE;
  return device == 0 ? SUCCESS : INVALID_DEVICE;
}
API cuDevicePrimaryCtxRetain(void **result, int device) {
  *result = &initialized;
  context_users++;
  return device == 0 ? SUCCESS : INVALID_DEVICE;
}
API cuDevicePrimaryCtxRelease_v2(int device) {
  if (context_users == 0) return INVALID_CONTEXT;
  if (--context_users == 0) context = nullptr;
  return device == 0 ? SUCCESS : INVALID_DEVICE;
}
API cuCtxSetCurrent(void *wanted) {
  context = wanted;
  return SUCCESS;
}
API cuCtxGetCurrent(void **result) {
  *result = context;
  return SUCCESS;
}
API cuCtxSynchronize() { return context ? SUCCESS : INVALID_CONTEXT; }

API cuModuleLoadData(void **module, const void *image) {
  if (context == nullptr) return INVALID_CONTEXT;
  *module = const_cast<void *>(image);
  return SUCCESS;
}
API cuModuleUnload(void *) { return SUCCESS; }
API cuModuleGetFunction(const emulation::Kernel **function, void *, const char *name) {
  *function = emulation::find_kernel(name);
  return *function ? SUCCESS : NOT_FOUND;
}
API cuFuncGetParamInfo(const emulation::Kernel *function, size_t index, size_t *offset, size_t *size) {
  if (index > 0) return INVALID_VALUE;
  *offset = 0;
  *size = function->argument_bytes;
  return SUCCESS;
}
API cuFuncSetAttribute(const emulation::Kernel *, int, int value) {
  return value <= 227 << 10 ? SUCCESS : INVALID_VALUE;
}

API cuLaunchKernel(const emulation::Kernel *function, unsigned gx, unsigned gy, unsigned gz,
                   unsigned bx, unsigned by, unsigned bz, unsigned shared_bytes, Stream *stream,
                   void **arguments, void **extra) {
  if (context == nullptr) return INVALID_CONTEXT;
  if (extra != nullptr || arguments == nullptr) return INVALID_VALUE;
  emulation::Launch launch = {function, {gx, gy, gz}, {bx, by, bz}, shared_bytes, arguments[0]};
  if (stream == nullptr || stream->capture == nullptr) return launch_now(launch);
  auto *bytes = static_cast<const char *>(arguments[0]);
  stream->capture->nodes.push_back(
      {launch, std::vector<char>(bytes, bytes + function->argument_bytes), nullptr, nullptr, 0});
  return SUCCESS;
}

/** CUlaunchAttribute and CUlaunchConfig of cuda.h. */
struct LaunchAttribute {
  int id;
  char padding[4];
  int value[16];
};
struct LaunchConfig {
  unsigned gx, gy, gz, bx, by, bz, shared_bytes;
  Stream *stream;
  const LaunchAttribute *attributes;
  unsigned attribute_count;
};
/** Accepts the attribute of programmatic dependent launch, but launches never overlap here. */
API cuLaunchKernelEx(const LaunchConfig *config, const emulation::Kernel *function,
                     void **arguments, void **extra) {
  static_assert(sizeof(LaunchAttribute) == 72 && sizeof(LaunchConfig) == 56, "as in cuda.h");
  const LaunchConfig &c = *config;
  for (unsigned i = 0; i < c.attribute_count; i++) {
    if (c.attributes[i].id != 6 || c.attributes[i].value[0] != 1) return INVALID_VALUE;
  }
  return cuLaunchKernel(function, c.gx, c.gy, c.gz, c.bx, c.by, c.bz, c.shared_bytes, c.stream,
                        arguments, extra);
}

API cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
  *total = total_bytes;
  *free_bytes = total_bytes - used_bytes;
  return SUCCESS;
}
API cuMemAlloc_v2(uint64_t *address, size_t bytes) {
  if (context == nullptr) return INVALID_CONTEXT;
  if (bytes == 0) return INVALID_VALUE;
  if (bytes > total_bytes - used_bytes) return OUT_OF_MEMORY;
  // The size is stored before the block. NaN in the block exposes reads of uninitialized memory.
  size_t rounded = (bytes + 255) / 256 * 256;
  auto *block = static_cast<char *>(aligned_alloc(256, rounded + 256));
  if (block == nullptr) return OUT_OF_MEMORY;
  memcpy(block, &bytes, sizeof bytes);
  memset(block + 256, 0xff, bytes);
  used_bytes += bytes;
  *address = reinterpret_cast<uint64_t>(block + 256);
  return SUCCESS;
}
API cuMemFree_v2(uint64_t address) {
  if (address == 0) return SUCCESS;
  auto *block = reinterpret_cast<char *>(address) - 256;
  size_t bytes;
  memcpy(&bytes, block, sizeof bytes);
  used_bytes -= bytes;
  free(block);
  return SUCCESS;
}
API cuMemHostAlloc(void **address, size_t bytes, unsigned) {
  *address = aligned_alloc(256, (bytes + 255) / 256 * 256);
  return *address ? SUCCESS : OUT_OF_MEMORY;
}
API cuMemFreeHost(void *address) {
  free(address);
  return SUCCESS;
}
API cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, Stream *stream) {
  if (stream != nullptr && stream->capture != nullptr) return CAPTURE_UNSUPPORTED;
  memcpy(reinterpret_cast<void *>(to), from, bytes);
  return SUCCESS;
}
API cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, Stream *stream) {
  if (stream != nullptr && stream->capture != nullptr) return CAPTURE_UNSUPPORTED;
  memcpy(to, reinterpret_cast<const void *>(from), bytes);
  return SUCCESS;
}
API cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream *stream) {
  Node node = {{}, {}, reinterpret_cast<void *>(to), reinterpret_cast<const void *>(from), bytes};
  if (stream == nullptr || stream->capture == nullptr) return run_node(node);
  stream->capture->nodes.push_back(node);
  return SUCCESS;
}

API cuStreamCreate(Stream **stream, unsigned) {
  *stream = new Stream;
  return SUCCESS;
}
API cuStreamDestroy_v2(Stream *stream) {
  delete stream;
  return SUCCESS;
}
API cuStreamSynchronize(Stream *stream) {
  return stream != nullptr && stream->capture != nullptr ? CAPTURE_UNSUPPORTED : SUCCESS;
}
API cuStreamBeginCapture_v2(Stream *stream, int) {
  if (stream == nullptr || stream->capture != nullptr) return CAPTURE_UNSUPPORTED;
  stream->capture = new Graph;
  return SUCCESS;
}
API cuStreamEndCapture(Stream *stream, Graph **graph) {
  if (stream == nullptr || stream->capture == nullptr) return CAPTURE_INVALIDATED;
  *graph = stream->capture;
  stream->capture = nullptr;
  return SUCCESS;
}
API cuGraphGetNodes(Graph *graph, void **nodes, size_t *count) {
  if (nodes != nullptr) return INVALID_VALUE;
  *count = graph->nodes.size();
  return SUCCESS;
}
API cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, unsigned long long) {
  *executable = new Graph(*graph);
  return SUCCESS;
}
API cuGraphLaunch(Graph *executable, Stream *) {
  for (const Node &node : executable->nodes) {
    if (int error = run_node(node)) return error;
  }
  return SUCCESS;
}
API cuGraphExecDestroy(Graph *executable) {
  delete executable;
  return SUCCESS;
}
API cuGraphDestroy(Graph *graph) {
  delete graph;
  return SUCCESS;
}

API cuEventCreate(Event **event, unsigned) {
  *event = new Event;
  return SUCCESS;
}
API cuEventDestroy_v2(Event *event) {
  delete event;
  return SUCCESS;
}
API cuEventRecord(Event *event, Stream *) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  event->time = now.tv_sec * 1e3 + now.tv_nsec * 1e-6;
  return SUCCESS;
}
API cuEventSynchronize(Event *) { return SUCCESS; }
API cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
  return stream != nullptr && event != nullptr ? SUCCESS : INVALID_VALUE;
}
/** Records an event after all work of a context. Here all work is done already. */
API cuCtxRecordEvent(void *of, Event *event) {
  return of == context && event != nullptr ? SUCCESS : INVALID_CONTEXT;
}
API cuCtxWaitEvent(void *of, Event *event) {
  return of == context && event != nullptr ? SUCCESS : INVALID_CONTEXT;
}
API cuPointerGetAttribute(int *value, int attribute, uint64_t address) {
  if (attribute != 9 || address == 0) return INVALID_VALUE;  // CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
  *value = 0;
  return SUCCESS;
}
API cuEventElapsedTime_v2(float *milliseconds, Event *start, Event *end) {
  *milliseconds = static_cast<float>(end->time - start->time);
  return SUCCESS;
}

API cuGetErrorName(int error, const char **name) {
  switch (error) {
    case INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
    case OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case NOT_INITIALIZED: *name = "CUDA_ERROR_NOT_INITIALIZED"; break;
    case INVALID_DEVICE: *name = "CUDA_ERROR_INVALID_DEVICE"; break;
    case INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; break;
    case NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; break;
    case LAUNCH_FAILED: *name = "CUDA_ERROR_LAUNCH_FAILED"; break;
    case CAPTURE_UNSUPPORTED: *name = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"; break;
    case CAPTURE_INVALIDATED: *name = "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"; break;
    default: *name = "CUDA_ERROR_UNKNOWN";
  }
  return SUCCESS;
}
/** For a failed launch: the error that the emulation found. */
API cuGetErrorString(int error, const char **text) {
  *text = error == LAUNCH_FAILED ? last_message : "emulated device";
  return SUCCESS;
}
