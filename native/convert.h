// Between JavaScript values and libtorch's. Everything that reads an argument says, when it cannot, which one and what it wanted.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <node_api.h>

#include <string>
#include <vector>

#include "handles.h"

namespace blip2 {

/// What was received, for an error message: `the string "abc"`, `the number 1.5`, `undefined`.
std::string Describe(napi_env env, napi_value value);

bool IsNullish(napi_env env, napi_value value);

int64_t ToInt64(napi_env env, napi_value value, const char* argument);
double ToDouble(napi_env env, napi_value value, const char* argument);
bool ToBool(napi_env env, napi_value value, const char* argument);
std::string ToString(napi_env env, napi_value value, const char* argument);
int32_t ToHandle(napi_env env, napi_value value, const char* argument, const char* expected = "a tensor");
at::Scalar ToScalar(napi_env env, napi_value value, const char* argument);
/// A dtype's number, or its name ("float32").
c10::ScalarType ToScalarType(napi_env env, napi_value value, const char* argument);
c10::Device ToDevice(napi_env env, napi_value value, const char* argument);
std::vector<int64_t> ToInt64List(napi_env env, napi_value value, const char* argument);

/// Calls `visit(element, index)` for each element of an Array or a typed array.
template <typename Visit>
void ForEachElement(napi_env env, napi_value value, const char* argument, const char* expected, Visit&& visit) {
  bool is_array = false;
  bool is_typed = false;
  napi_is_array(env, value, &is_array);
  if (!is_array) napi_is_typedarray(env, value, &is_typed);
  if (!is_array && !is_typed) throw ArgumentError(argument, expected, Describe(env, value));
  uint32_t length = 0;
  if (is_array) {
    napi_get_array_length(env, value, &length);
  } else {
    size_t size = 0;
    napi_get_typedarray_info(env, value, nullptr, &size, nullptr, nullptr, nullptr);
    length = static_cast<uint32_t>(size);
  }
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element;
    napi_get_element(env, value, i, &element);
    visit(element, i);
  }
}

napi_value ToJs(napi_env env, bool value);
napi_value ToJs(napi_env env, int32_t value);
napi_value ToJs(napi_env env, int64_t value);  // a BigInt where a number could not hold it
napi_value ToJs(napi_env env, double value);
napi_value ToJs(napi_env env, const at::Scalar& value);  // a real one
napi_value ToJs(napi_env env, const std::string& value);
napi_value ToJs(napi_env env, c10::IntArrayRef values);
/// A tensor's new handle; null for an undefined one.
napi_value ToJs(Environment& environment, at::Tensor&& tensor);
/// Tensors become handles (an undefined one null), lists arrays, devices strings, dtypes numbers.
napi_value ToJs(Environment& environment, c10::IValue&& value);

void Export(napi_env env, napi_value exports, const char* name, napi_callback callback, void* data = nullptr);

/// The arguments of a call from JavaScript, at least `required` of them.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info, size_t required);

  size_t count() const { return count_; }
  napi_value operator[](size_t i) const { return values_[i]; }
  bool Has(size_t i) const { return i < count_ && !IsNullish(env_, values_[i]); }
  int32_t Int32(size_t i, const char* argument) const { return ToHandle(env_, values_[i], argument); }
  const at::Tensor& Tensor(size_t i, const char* argument) const;
  std::vector<at::Tensor> Tensors(size_t i, const char* argument) const;

 private:
  static constexpr size_t kMost = 8;
  napi_env env_;
  size_t count_ = kMost;
  napi_value values_[kMost];
};

}  // namespace blip2
