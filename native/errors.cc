#include "errors.h"

#include <c10/util/Exception.h>

#include <new>

namespace blip2 {

ArgumentError::ArgumentError(std::string argument_, std::string expected_, std::string received_, const char* code_)
    : std::runtime_error("expected " + expected_ + " for " + argument_ + " but received " + received_),
      argument(std::move(argument_)),
      expected(std::move(expected_)),
      received(std::move(received_)),
      code(code_) {}

namespace {

void SetText(napi_env env, napi_value object, const char* name, const std::string& text) {
  if (text.empty()) return;
  napi_value value;
  if (napi_create_string_utf8(env, text.data(), text.size(), &value) == napi_ok) {
    napi_set_named_property(env, object, name, value);
  }
}

void Throw(napi_env env, const char* code, const std::string& message, const std::string& where, const std::string& call,
           const ArgumentError* details = nullptr) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending) return;  // a JavaScript exception is on its way already
  napi_value code_value, text, error;
  napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &code_value);
  napi_create_string_utf8(env, message.data(), message.size(), &text);
  napi_create_error(env, code_value, text, &error);
  SetText(env, error, "operator", where);
  SetText(env, error, "call", call);
  if (details != nullptr) {
    SetText(env, error, "argument", details->argument);
    SetText(env, error, "expected", details->expected);
    SetText(env, error, "received", details->received);
  }
  napi_throw(env, error);
}

// libtorch has no exception class of its own for these two on every device, only their words.
const char* CodeOf(const std::string& message) {
  for (const char* words :
       {"can't allocate memory", "out of memory", "Invalid size calculation", "Storage size calculation overflowed"}) {
    if (message.find(words) != std::string::npos) return "ERR_OUT_OF_MEMORY";
  }
  for (const char* words :
       {"Found no NVIDIA driver", "No CUDA GPUs", "not compiled with CUDA", "not linked with support for cuda",
        "Cannot access accelerator device", "without linking", "CUDA driver", "from the 'CUDA' backend",
        "Could not run 'aten::empty", "Cannot initialize CUDA", "invalid device ordinal", "without ATen_cuda library",
        "without ATen_xpu library", "without MPS backend"}) {
    if (message.find(words) != std::string::npos) return "ERR_DEVICE";
  }
  return "ERR_OPERATOR";
}

std::string FirstLine(std::string message) {
  // Long messages end with a C++ backtrace or a table of registered kernels, which help nobody on the JavaScript side.
  for (const char* mark : {"\nException raised from", "\nCPU: registered at", "\n\nCPU: registered",
                           ". This could be because the operator doesn't exist for this backend"}) {
    const auto at = message.find(mark);
    if (at != std::string::npos) message.resize(at);
  }
  return message;
}

}  // namespace

void ThrowCurrent(napi_env env, const std::string& where, const std::string& call) {
  const std::string prefix = where.empty() ? "" : where + ": ";
  const std::string suffix = call.empty() ? "" : "\n  called as " + call;
  try {
    throw;
  } catch (const ArgumentError& error) {
    Throw(env, error.code, prefix + error.what(), where, call, &error);
  } catch (const c10::OutOfMemoryError& error) {
    Throw(env, "ERR_OUT_OF_MEMORY", prefix + FirstLine(error.what_without_backtrace()) + suffix, where, call);
  } catch (const c10::Error& error) {
    const std::string message = FirstLine(error.what_without_backtrace());
    Throw(env, CodeOf(message), prefix + message + suffix, where, call);
  } catch (const std::bad_alloc&) {
    Throw(env, "ERR_OUT_OF_MEMORY", prefix + "out of memory" + suffix, where, call);
  } catch (const std::exception& error) {
    const std::string message = FirstLine(error.what());
    Throw(env, CodeOf(message), prefix + message + suffix, where, call);
  } catch (...) {
    Throw(env, "ERR_OPERATOR", prefix + "an unknown C++ exception" + suffix, where, call);
  }
}

}  // namespace blip2
