// Bytes in and out: typed arrays (copied, or shared where that is safe) and ranges of mapped files.
#pragma once

#include <node_api.h>

namespace blip2 {

void RegisterStorage(napi_env env, napi_value exports);

}  // namespace blip2
