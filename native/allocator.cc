#include "allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

namespace blip2 {

namespace {

// Aligned blocks are what malloc is slowest at, and the tensors of a scope die together, which is the pattern it likes least: for
// a small operator the two take a fifth of its time. So each thread keeps freed blocks of up to 4 KiB, by size, at most 64 KiB of
// each size.
constexpr size_t kStep = 64;  // libtorch's alignment
constexpr size_t kSizes = 64;
constexpr size_t kKept = 64;

constexpr size_t Keep(size_t size) { return std::min(kKept, 65536 / ((size + 1) * kStep)); }

thread_local bool closed = false;  // tensors may still die on a thread whose cache is gone

struct Cache {
  ~Cache() {
    closed = true;
    for (size_t size = 0; size < kSizes; ++size) {
      while (counts[size] > 0) c10::free_cpu(blocks[size][--counts[size]]);
    }
  }
  void* blocks[kSizes][kKept];
  uint32_t counts[kSizes] = {};
};

thread_local Cache cache;

template <size_t kSize>
void Release(void* block) {
  if (!closed) {
    Cache& own = cache;
    if (own.counts[kSize] < Keep(kSize)) {
      own.blocks[kSize][own.counts[kSize]++] = block;
      return;
    }
  }
  c10::free_cpu(block);
}

template <size_t... kSize>
constexpr std::array<c10::DeleterFnPtr, kSizes> Releases(std::index_sequence<kSize...>) {
  return {Release<kSize>...};
}
constexpr auto kReleases = Releases(std::make_index_sequence<kSizes>());

class SmallBlocks final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0 || bytes > kStep * kSizes || closed) {
      void* block = c10::alloc_cpu(bytes);
      return {block, block, &c10::free_cpu, cpu};
    }
    const size_t size = (bytes - 1) / kStep;
    Cache& own = cache;
    void* block = own.counts[size] > 0 ? own.blocks[size][--own.counts[size]] : c10::alloc_cpu((size + 1) * kStep);
    return {block, block, kReleases[size], cpu};
  }
  // For blocks that were let go of their DataPtr: every one of them may go back to malloc.
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

}  // namespace

void InstallAllocator() {
  static std::once_flag once;
  std::call_once(once, [] { c10::SetCPUAllocator(new SmallBlocks, /*priority=*/1); });  // never deleted: storages point to it
}

}  // namespace blip2
