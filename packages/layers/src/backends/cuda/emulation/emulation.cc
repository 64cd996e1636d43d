// The emulated device: runs blocks one after the other, with their threads as fibers.
#include "emulation.h"

#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulation {
Thread *current;
Slots *slots;
Index block_index, block_size, grid_size;
char *shared;

namespace {
constexpr int max_threads = 1024, max_kernels = 256;
// The odd number of cache lines keeps the stacks' tops from sharing the same sets of the cache.
constexpr size_t stack_bytes = (64 << 10) + 5 * 64, shared_bytes = 228 << 10;
constexpr uint64_t canary = 0x5ca1ab1e0ddba11ull;

Kernel kernels[max_kernels];
int kernel_count, thread_count;
Thread threads[max_threads];
Slots warp_slots[max_threads / 32];
char *stacks;
void *scheduler_stack_pointer;
const Kernel *running;
const void *arguments;
char message[256];

// Saves the callee-saved registers, switches stacks, and returns on the new one.
extern "C" void emulation_switch(void **save, void *load);
#if defined(__x86_64__)
asm(R"(
.text
.globl emulation_switch
.hidden emulation_switch
.type emulation_switch, @function
emulation_switch:
  push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp
  ret
.size emulation_switch, .-emulation_switch
)");
constexpr int saved_words = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.globl emulation_switch
.hidden emulation_switch
.type emulation_switch, %function
emulation_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size emulation_switch, .-emulation_switch
)");
#else
#error "the emulated device runs on x86-64 and arm64"
#endif

#if defined(__SANITIZE_ADDRESS__)
const void *host_stack;
size_t host_stack_bytes;
void enter(char *stack) { __sanitizer_start_switch_fiber(nullptr, stack, stack_bytes); }
void entered() { __sanitizer_finish_switch_fiber(nullptr, &host_stack, &host_stack_bytes); }
void leave() { __sanitizer_start_switch_fiber(nullptr, host_stack, host_stack_bytes); }
constexpr bool switches_directly = false;  // the sanitizer is told of switches from and to the scheduler only
void left() { __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr); }
#else
void enter(char *) {}
void entered() {}
void leave() {}
void left() {}
constexpr bool switches_directly = true;
#endif

/** Goes on with the next lane of the warp if it can run, else with the scheduler. */
void yield() {
  Thread *self = current, *next = self + 1;
  if (switches_directly && self->lane < 31 && next < threads + thread_count && next->waiting == RUNNING) {
    current = next;
    emulation_switch(&self->stack_pointer, next->stack_pointer);
    return;
  }
  leave();
  emulation_switch(&self->stack_pointer, scheduler_stack_pointer);
  entered();
}

void thread_main() {
  entered();
  running->run(arguments);
  current->waiting = DONE;
  yield();
  abort();
}

char *stack_of(int i) { return stacks + i * stack_bytes; }

void prepare(int i) {
  auto *top = reinterpret_cast<uint64_t *>(stack_of(i) + stack_bytes);
#if defined(__x86_64__)
  *--top = 0;  // aligns the stack as after a call
  *--top = reinterpret_cast<uint64_t>(&thread_main);
  for (int word = 0; word < saved_words; word++) *--top = 0;
#else
  top -= 20;
  memset(top, 0, 160);
  top[11] = reinterpret_cast<uint64_t>(&thread_main);
#endif
  threads[i].stack_pointer = top;
}

void resume(int i) {
  current = &threads[i];
  current->waiting = RUNNING;
  enter(stack_of(i));
  emulation_switch(&scheduler_stack_pointer, current->stack_pointer);
  left();
}

/** Runs a warp until its threads are done or at the block's barrier. False: they wait at different barriers. */
bool run_warp(int first, int count) {
  for (;;) {
    int at_warp = 0, at_block = 0;
    for (int i = first; i < first + count; i++) {
      if (threads[i].waiting == RUNNING) resume(i);
      at_warp += threads[i].waiting == AT_WARP;
      at_block += threads[i].waiting == AT_BLOCK;
    }
    if (at_warp == 0) return true;
    if (at_block > 0) return false;
    for (int i = first; i < first + count; i++) {
      if (threads[i].waiting == AT_WARP) threads[i].waiting = RUNNING;
    }
  }
}

const char *run_block(int count) {
  thread_count = count;
  for (int i = 0; i < count; i++) {
    unsigned x = i % block_size.x, rest = i / block_size.x;
    threads[i] = {{x, rest % block_size.y, rest / block_size.y}, RUNNING, i % 32, i / 32, 0, nullptr};
    prepare(i);
  }
  for (int live = count; live > 0;) {
    for (int i = 0; i < count; i += 32) {
      if (!run_warp(i, count - i < 32 ? count - i : 32)) {
        return "threads of a warp wait at different barriers";
      }
    }
    live = 0;
    for (int i = 0; i < count; i++) live += threads[i].waiting == AT_BLOCK;
    for (int i = 0; i < count; i++) {
      if (threads[i].waiting == AT_BLOCK) threads[i].waiting = RUNNING;
    }
  }
  return nullptr;
}

uint64_t &canary_of(int i) { return *reinterpret_cast<uint64_t *>(stack_of(i)); }

const char *check_stacks(int count) {
  for (int i = 0; i < count; i++) {
    if (canary_of(i) == canary) continue;
    canary_of(i) = canary;
    return "a thread's stack overflowed";
  }
  return nullptr;
}
}  // namespace

void wait_for(Waiting where) {
  current->waiting = where;
  yield();
}

void define_kernel(const Kernel &kernel) { kernels[kernel_count++] = kernel; }

const Kernel *find_kernel(const char *name) {
  for (int i = 0; i < kernel_count; i++) {
    if (strcmp(kernels[i].name, name) == 0) return &kernels[i];
  }
  return nullptr;
}

/** Worker threads of Node share the device, which runs one kernel at a time. */
static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *check(const Launch &launch) {
  const Index &grid = launch.grid, &block = launch.block;
  size_t count = static_cast<size_t>(block.x) * block.y * block.z;
  if (count == 0 || count > static_cast<size_t>(launch.kernel->threads)) {
    snprintf(message, sizeof message, "threads per block of %s: expected 1 to %d, found %zu",
             launch.kernel->name, launch.kernel->threads, count);
    return message;
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 ||
      grid.z > 65535) {
    return "the grid is empty or too large";
  }
  return launch.shared_bytes > shared_bytes ? "more shared memory than a block can have" : nullptr;
}

static const char *run_alone(const Launch &launch) {
  if (const char *error = check(launch)) return error;
  if (stacks == nullptr) {
    void *memory = mmap(nullptr, max_threads * stack_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return "no memory for the threads' stacks";
    stacks = static_cast<char *>(memory);
    for (int i = 0; i < max_threads; i++) canary_of(i) = canary;
  }
  // A separate allocation, so that a sanitizer detects reads beyond it.
  shared = static_cast<char *>(aligned_alloc(128, (launch.shared_bytes + 128) / 128 * 128));
  slots = warp_slots;
  running = launch.kernel;
  arguments = launch.arguments;
  block_size = launch.block;
  grid_size = launch.grid;
  int count = static_cast<int>(block_size.x * block_size.y * block_size.z);
  const char *error = nullptr;
  for (unsigned z = 0; z < grid_size.z && !error; z++) {
    for (unsigned y = 0; y < grid_size.y && !error; y++) {
      for (unsigned x = 0; x < grid_size.x && !error; x++) {
        memset(shared, 0xff, launch.shared_bytes);  // NaN, to expose reads of uninitialized memory
        block_index = {x, y, z};
        error = run_block(count);
      }
    }
  }
  free(shared);
  if (error == nullptr) error = check_stacks(count);
  if (error == nullptr) return nullptr;
  snprintf(message, sizeof message, "%s: %s", launch.kernel->name, error);
  return message;
}

const char *run(const Launch &launch) {
  pthread_mutex_lock(&device_lock);
  const char *error = run_alone(launch);
  pthread_mutex_unlock(&device_lock);
  return error;
}
}  // namespace emulation
