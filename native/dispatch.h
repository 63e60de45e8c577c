// The one bridge to every ATen operator: its schema, read once, says how each argument is converted. No C++ an operator.
#pragma once

#include <node_api.h>

namespace blip2 {

void RegisterDispatch(napi_env env, napi_value exports);

}  // namespace blip2
