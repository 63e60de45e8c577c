// Every failure becomes a plain JavaScript Error with a `code` and named fields; the TypeScript side (src/native/errors.ts) makes
// the typed class of it. No JavaScript constructor is kept here: a process may hold several JavaScript realms.
#pragma once

#include <node_api.h>

#include <stdexcept>
#include <string>

namespace blip2 {

/// A wrong call, found before libtorch was asked. Becomes `ArgumentError` (or `TensorFreedError`).
struct ArgumentError : std::runtime_error {
  ArgumentError(std::string argument, std::string expected, std::string received, const char* code = "ERR_ARGUMENT");
  std::string argument, expected, received;
  const char* code;
};

/// Throws the current C++ exception as a JavaScript error. `where` names the operator or function, `call` shows what it was
/// given. Must be called inside a catch block.
void ThrowCurrent(napi_env env, const std::string& where, const std::string& call);

/// Runs `body`, and turns whatever it throws into a JavaScript error.
template <typename Body>
napi_value Guard(napi_env env, const char* where, Body&& body) {
  try {
    return body();
  } catch (...) {
    ThrowCurrent(env, where, "");
    return nullptr;
  }
}

}  // namespace blip2
