// Threads, devices, their memory, and waiting for them.
#pragma once

#include <node_api.h>

namespace blip2 {

void RegisterDevice(napi_env env, napi_value exports);

}  // namespace blip2
