#include "handles.h"

#include <ATen/ATen.h>

#include <unordered_set>

#include "convert.h"
#include "dispatch.h"

namespace blip2 {

namespace {

constexpr int64_t kReportStep = int64_t{8} << 20;

// Storage counts for the handle that first shows it; a view shares its base's.
int64_t OwnBytes(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.has_storage() || tensor.is_meta()) return 0;
  const auto& storage = tensor.storage();
  return storage.use_count() == 1 && storage.device_type() == c10::DeviceType::CPU ? static_cast<int64_t>(storage.nbytes()) : 0;
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
  const int64_t bytes = OwnBytes(tensor);
  if (bytes >= 1024) {
    bytes_ += bytes;
    if (bytes_ - reported_ > kReportStep) ReportExternalMemory();
  }
  return tensors.Put(std::move(tensor));
}

void Environment::FreeTensor(int32_t handle) {
  const at::Tensor tensor = tensors.Take(handle);
  if (!tensor.defined() || tensor.use_count() != 1) return;
  const int64_t bytes = OwnBytes(tensor);
  if (bytes >= 1024) {
    bytes_ -= bytes;
    if (reported_ - bytes_ > kReportStep) ReportExternalMemory();
  }
}

void Environment::ReportExternalMemory() {
  int64_t total;
  // Estimates may drift (storage shared and then let go elsewhere): never report less than nothing.
  if (bytes_ < 0) bytes_ = 0;
  napi_adjust_external_memory(env, bytes_ - reported_, &total);
  reported_ = bytes_;
}

void Environment::DrainPending() {
  std::vector<napi_ref> references;
  {
    std::lock_guard<std::mutex> lock(pending->mutex);
    references.swap(pending->references);
  }
  for (napi_ref reference : references) napi_delete_reference(env, reference);
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

napi_value FreeMany(napi_env env, napi_callback_info info) {
  return Guard(env, "freeMany", [&]() -> napi_value {
    Arguments args(env, info, 1);
    auto& environment = EnvironmentOf(env);
    uint32_t length = 0;
    napi_get_array_length(env, args[0], &length);
    for (uint32_t i = 0; i < length; ++i) {
      napi_value element;
      int32_t handle = 0;
      napi_get_element(env, args[0], i, &element);
      napi_get_value_int32(env, element, &handle);
      environment.FreeTensor(handle);
    }
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
    auto& environment = EnvironmentOf(env);
    std::unordered_set<const void*> seen;
    double bytes = 0;
    environment.tensors.ForEach([&](const at::Tensor& tensor) {
      if (!tensor.defined() || !tensor.has_storage() || tensor.is_meta()) return;
      const auto* storage = tensor.storage().unsafeGetStorageImpl();
      if (seen.insert(storage).second) bytes += static_cast<double>(storage->nbytes());
    });
    napi_value result;
    napi_create_array_with_length(env, 2, &result);
    napi_set_element(env, result, 0, ToJs(env, static_cast<double>(environment.tensors.live())));
    napi_set_element(env, result, 1, ToJs(env, bytes));
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
