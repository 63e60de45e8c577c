// A JavaScript tensor is an integer: its slot in a table that belongs to one Node environment (the main thread or a worker).
// 0 is never given out, so a freed tensor, whose handle is set to 0, is found out at the next call.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/stack.h>
#include <node_api.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "errors.h"

namespace blip2 {

// Each table counts from a number of its own, so that what is no handle of it (a generator where a tensor is wanted, a stray
// number) is told from one that has been freed.
template <typename T>
class SlotTable {
 public:
  SlotTable(const char* kind, int32_t first) : kind_(kind), first_(first) {}

  int32_t Put(T value) {
    ++live_;
    if (!free_.empty()) {
      const int32_t handle = free_.back();
      free_.pop_back();
      slots_[handle - first_] = std::move(value);
      used_[handle - first_] = true;
      return handle;
    }
    slots_.push_back(std::move(value));
    used_.push_back(true);
    return static_cast<int32_t>(slots_.size() - 1) + first_;
  }

  T& Get(int32_t handle, const char* argument) {
    if (!IsLive(handle)) ThrowNotLive(handle, argument);
    return slots_[handle - first_];
  }

  /// Empties the slot and returns what was in it; a handle that is not live is let pass, so that freeing twice is harmless.
  T Take(int32_t handle) {
    if (!IsLive(handle)) return T();
    --live_;
    used_[handle - first_] = false;
    free_.push_back(handle);
    return std::move(slots_[handle - first_]);
  }

  size_t live() const { return live_; }

  template <typename Visit>
  void ForEach(Visit&& visit) const {
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (used_[i]) visit(slots_[i]);
    }
  }

  void Clear() {
    slots_.clear();
    used_.clear();
    free_.clear();
    live_ = 0;
  }

 private:
  bool Has(int32_t handle) const { return handle >= first_ && static_cast<size_t>(handle - first_) < slots_.size(); }
  bool IsLive(int32_t handle) const { return Has(handle) && used_[handle - first_]; }

  [[noreturn]] void ThrowNotLive(int32_t handle, const char* argument) const {
    if (handle != 0 && !Has(handle)) throw ArgumentError(argument, std::string("a ") + kind_, "something that is none");
    throw ArgumentError(argument, std::string("a live ") + kind_,
                        "one that has been freed (disposed of, or left behind by its scope)", "ERR_FREED");
  }

  const char* kind_;
  const int32_t first_;
  std::deque<T> slots_;  // a call holds references into it while reading its arguments may run JavaScript that makes more
  std::vector<uint8_t> used_;
  std::vector<int32_t> free_;
  size_t live_ = 0;
};

/// An ArrayBuffer whose tensors are gone.
struct Released {
  napi_ref reference;
  bool detach;  // nobody else reads it: its memory goes now, not when the garbage collector comes
};

/// ArrayBuffers whose tensors are gone. A tensor may die on any thread, a reference only on its own.
struct PendingReleases {
  std::mutex mutex;
  std::vector<Released> references;
  std::atomic<bool> waiting = false;
  bool closed = false;
};

struct Mapping;   // storage.cc
struct Operator;  // schema.h

/// All that one Node environment holds. Created by the addon's init, deleted when the environment ends.
struct Environment {
  explicit Environment(napi_env env);
  ~Environment();

  napi_env env;
  SlotTable<at::Tensor> tensors{"tensor", 1 << 24};
  SlotTable<at::Generator> generators{"generator", 1};
  SlotTable<std::shared_ptr<Mapping>> mappings{"mapped file", 1};
  std::vector<std::unique_ptr<Operator>> operators;
  torch::jit::Stack stack;  // reused by every call but those made while another one reads its arguments
  bool calling = false;
  std::shared_ptr<PendingReleases> pending = std::make_shared<PendingReleases>();

  int32_t PutTensor(at::Tensor tensor);
  void FreeTensor(int32_t handle) { tensors.Take(handle); }
  /// The bytes of the storages that tensors hold, each counted once.
  int64_t Bytes() const;
  void DrainPending() {
    if (pending->waiting.load(std::memory_order_relaxed)) DrainPendingNow();
  }

 private:
  void DrainPendingNow();
  void ReportExternalMemory();

  int64_t fresh_ = 0;     // bytes that came in since V8 was last told of the memory that tensors hold
  int64_t reported_ = 0;  // what it was told
};

Environment& EnvironmentOf(napi_env env);

void RegisterHandles(napi_env env, napi_value exports);

}  // namespace blip2
