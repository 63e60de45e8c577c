#include "handles.h"

#include <ATen/ATen.h>

#include <unordered_set>

#include "convert.h"
#include "schema.h"
#include "typed.h"

namespace blip2 {

namespace {

// V8 is told anew each time that this much came in, since counting what is alive takes time.
constexpr int64_t kReportStep = int64_t{32} << 20;
// About what a tensor without elements takes. Small ones by the hundred thousand would go unnoticed
// without it.
constexpr int64_t kOverhead = 512;
constexpr size_t kSmall = 1024;

// The bytes of the storages of at least `least` bytes, each counted once.
int64_t BytesOf(const SlotTable<at::Tensor>& tensors, size_t least) {
  std::unordered_set<const void*> seen;
  int64_t bytes = 0;
  tensors.ForEach([&](const at::Tensor& tensor) {
    if (!tensor.has_storage() || tensor.is_meta()) return;
    const auto* storage = tensor.storage().unsafeGetStorageImpl();
    if (storage->nbytes() < least || !seen.insert(storage).second) return;
    bytes += static_cast<int64_t>(storage->nbytes());
  });
  return bytes;
}

}  // namespace

Environment::Environment(napi_env env_) : env(env_) {}

Environment::~Environment() {
  tensors.Clear();
  std::lock_guard<std::mutex> lock(pending->mutex);
  pending->closed = true;  // what dies later has no environment to go back to
  pending->references.clear();
}

int32_t Environment::PutTensor(at::Tensor tensor) {
  fresh_ += kOverhead;
  const auto& storage = tensor.unsafeGetTensorImpl()->unsafe_storage();
  if (storage && storage.use_count() == 1 && storage.nbytes() >= kSmall) {  // a view's storage has other users
    fresh_ += static_cast<int64_t>(storage.nbytes());
  }
  const int32_t handle = tensors.Put(std::move(tensor));
  if (fresh_ > kReportStep) ReportExternalMemory();
  return handle;
}

void Environment::ReportExternalMemory() {
  fresh_ = 0;
  const int64_t bytes = BytesOf(tensors, kSmall) + kOverhead * static_cast<int64_t>(tensors.live());
  int64_t total;
  napi_adjust_external_memory(env, bytes - reported_, &total);
  reported_ = bytes;
}

int64_t Environment::Bytes() const { return BytesOf(tensors, 0); }

void Environment::DrainPendingNow() {
  std::vector<Released> references;
  {
    std::lock_guard<std::mutex> lock(pending->mutex);
    references.swap(pending->references);
    pending->waiting = false;
  }
  for (const auto& [reference, detach] : references) {
    napi_value buffer = nullptr;
    if (detach && napi_get_reference_value(env, reference, &buffer) == napi_ok) napi_detach_arraybuffer(env, buffer);
    napi_delete_reference(env, reference);
  }
}

Environment& EnvironmentOf(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

namespace {

napi_value Free(napi_env env, napi_callback_info info) {
  return Guard(env, "free", [&]() -> napi_value {
    Arguments args(env, info, 1);
    auto& environment = EnvironmentOf(env);
    environment.FreeTensor(args.Int32(0, "handle"));
    environment.DrainPending();
    return nullptr;
  });
}

// freeMany(Int32Array, count): the handles in its first elements
napi_value FreeMany(napi_env env, napi_callback_info info) {
  return Guard(env, "freeMany", [&]() -> napi_value {
    Arguments args(env, info, 2);
    auto& environment = EnvironmentOf(env);
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(env, args[0], &type, &length, &data, nullptr, nullptr) != napi_ok || type != napi_int32_array) {
      throw ArgumentError("handles", "an Int32Array", Describe(env, args[0]));
    }
    const int64_t count = ToInt64(env, args[1], "count");
    if (count < 0 || static_cast<size_t>(count) > length)
      throw ArgumentError("count", "at most the array's length", std::to_string(count));
    for (int64_t i = count - 1; i >= 0; --i) environment.FreeTensor(static_cast<const int32_t*>(data)[i]);
    environment.DrainPending();
    return nullptr;
  });
}

napi_value Alias(napi_env env, napi_callback_info info) {
  return Guard(env, "alias", [&]() -> napi_value {
    Arguments args(env, info, 1);
    return ToJs(env, EnvironmentOf(env).PutTensor(args.Tensor(0, "tensor")));
  });
}

napi_value Shape(napi_env env, napi_callback_info info) {
  return Guard(env, "shape", [&]() -> napi_value {
    Arguments args(env, info, 1);
    return ToJs(env, args.Tensor(0, "tensor").sizes());
  });
}

napi_value Strides(napi_env env, napi_callback_info info) {
  return Guard(env, "strides", [&]() -> napi_value {
    Arguments args(env, info, 1);
    return ToJs(env, args.Tensor(0, "tensor").strides());
  });
}

napi_value Dtype(napi_env env, napi_callback_info info) {
  return Guard(env, "dtype", [&]() -> napi_value {
    Arguments args(env, info, 1);
    return ToJs(env, static_cast<int32_t>(args.Tensor(0, "tensor").scalar_type()));
  });
}

napi_value DeviceOf(napi_env env, napi_callback_info info) {
  return Guard(env, "device", [&]() -> napi_value {
    Arguments args(env, info, 1);
    return ToJs(env, args.Tensor(0, "tensor").device().str());
  });
}

napi_value IsContiguous(napi_env env, napi_callback_info info) {
  return Guard(env, "isContiguous", [&]() -> napi_value {
    Arguments args(env, info, 1);
    return ToJs(env, args.Tensor(0, "tensor").is_contiguous());
  });
}

napi_value StorageOffset(napi_env env, napi_callback_info info) {
  return Guard(env, "storageOffset", [&]() -> napi_value {
    Arguments args(env, info, 1);
    return ToJs(env, args.Tensor(0, "tensor").storage_offset());
  });
}

// A number that two tensors share exactly when they share storage (tied weights, views).
napi_value StorageKey(napi_env env, napi_callback_info info) {
  return Guard(env, "storageKey", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const auto& tensor = args.Tensor(0, "tensor");
    const auto address = reinterpret_cast<uintptr_t>(tensor.storage().unsafeGetStorageImpl());
    return ToJs(env, static_cast<double>(address));
  });
}

// [live tensors, bytes of the storages they hold]; each storage counts once.
napi_value Memory(napi_env env, napi_callback_info info) {
  return Guard(env, "memory", [&]() -> napi_value {
    const auto& environment = EnvironmentOf(env);
    napi_value result;
    napi_create_array_with_length(env, 2, &result);
    napi_set_element(env, result, 0, ToJs(env, static_cast<double>(environment.tensors.live())));
    napi_set_element(env, result, 1, ToJs(env, environment.Bytes()));
    return result;
  });
}

}  // namespace

void RegisterHandles(napi_env env, napi_value exports) {
  Export(env, exports, "free", Free);
  Export(env, exports, "freeMany", FreeMany);
  Export(env, exports, "alias", Alias);
  Export(env, exports, "shape", Shape);
  Export(env, exports, "strides", Strides);
  Export(env, exports, "dtype", Dtype);
  Export(env, exports, "device", DeviceOf);
  Export(env, exports, "isContiguous", IsContiguous);
  Export(env, exports, "storageOffset", StorageOffset);
  Export(env, exports, "storageKey", StorageKey);
  Export(env, exports, "memory", Memory);
}

}  // namespace blip2
