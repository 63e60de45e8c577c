// Generators: PyTorch's own, so that a seed gives PyTorch's own numbers.
#pragma once

#include <node_api.h>

namespace blip2 {

void RegisterRandom(napi_env env, napi_value exports);

}  // namespace blip2
