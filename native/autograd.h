// Gradients and the thread-local modes: grad mode, inference mode, autocast.
#pragma once

#include <node_api.h>

namespace blip2 {

void RegisterAutograd(napi_env env, napi_value exports);

}  // namespace blip2
