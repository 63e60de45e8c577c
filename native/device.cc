#include "device.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/version.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "convert.h"
#include "handles.h"

namespace blip2 {

namespace {

napi_value Threads(napi_env env, napi_callback_info) { return ToJs(env, static_cast<int32_t>(at::get_num_threads())); }

napi_value SetThreads(napi_env env, napi_callback_info info) {
  return Guard(env, "setThreads", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const int64_t count = ToInt64(env, args[0], "threads");
    if (count < 1 || count > 4096) throw ArgumentError("threads", "1 to 4096", std::to_string(count));
    at::set_num_threads(static_cast<int>(count));
    return nullptr;
  });
}

// The accelerator's type ("cuda") where this libtorch has one and it is loaded, else null.
napi_value Accelerator(napi_env env, napi_callback_info) {
  return Guard(env, "accelerator", [&]() -> napi_value {
    const auto type = at::accelerator::getAccelerator(false);
    if (type) return ToJs(env, c10::DeviceTypeName(*type, true));
    napi_value null;
    napi_get_null(env, &null);
    return null;
  });
}

napi_value DeviceCount(napi_env env, napi_callback_info) {
  return Guard(env, "deviceCount", [&]() -> napi_value {
    const auto type = at::accelerator::getAccelerator(false);
    return ToJs(env, type ? static_cast<int32_t>(at::accelerator::deviceCount()) : 0);
  });
}

napi_value Synchronize(napi_env env, napi_callback_info info) {
  return Guard(env, "synchronize", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const auto device = ToDevice(env, args[0], "device");
    if (!device.is_cpu())
      at::accelerator::synchronizeDevice(device.has_index() ? device.index() : at::accelerator::getDeviceIndex());
    return nullptr;
  });
}

// deviceMemory(device) → [allocated, reserved, peak allocated] bytes of the caching allocator
napi_value DeviceMemory(napi_env env, napi_callback_info info) {
  return Guard(env, "deviceMemory", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const auto device = ToDevice(env, args[0], "device");
    if (device.is_cpu()) throw ArgumentError("device", "an accelerator's device", "\"cpu\"");
    const auto stats = at::accelerator::getDeviceStats(device.has_index() ? device.index() : at::accelerator::getDeviceIndex());
    constexpr size_t kAll = 0;  // StatType::AGGREGATE
    napi_value result;
    napi_create_array_with_length(env, 3, &result);
    napi_set_element(env, result, 0, ToJs(env, static_cast<int64_t>(stats.allocated_bytes[kAll].current)));
    napi_set_element(env, result, 1, ToJs(env, static_cast<int64_t>(stats.reserved_bytes[kAll].current)));
    napi_set_element(env, result, 2, ToJs(env, static_cast<int64_t>(stats.allocated_bytes[kAll].peak)));
    return result;
  });
}

napi_value EmptyCache(napi_env env, napi_callback_info) {
  return Guard(env, "emptyCache", [&]() -> napi_value {
    if (at::accelerator::getAccelerator(false)) at::accelerator::emptyCache();
    return nullptr;
  });
}

// glibc keeps what was freed for the next allocation; where much was freed for good, it has to be told to give it back.
napi_value TrimMemory(napi_env env, napi_callback_info) {
  return Guard(env, "trimMemory", [&]() -> napi_value {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    return nullptr;
  });
}

napi_value CpuCapability(napi_env env, napi_callback_info) {
  return Guard(env, "cpuCapability", [&]() -> napi_value { return ToJs(env, at::get_cpu_capability()); });
}

}  // namespace

void RegisterDevice(napi_env env, napi_value exports) {
  Export(env, exports, "threads", Threads);
  Export(env, exports, "setThreads", SetThreads);
  Export(env, exports, "accelerator", Accelerator);
  Export(env, exports, "deviceCount", DeviceCount);
  Export(env, exports, "synchronize", Synchronize);
  Export(env, exports, "deviceMemory", DeviceMemory);
  Export(env, exports, "emptyCache", EmptyCache);
  Export(env, exports, "trimMemory", TrimMemory);
  Export(env, exports, "cpuCapability", CpuCapability);
  napi_set_named_property(env, exports, "builtFor", ToJs(env, std::string(TORCH_VERSION)));
}

}  // namespace blip2
