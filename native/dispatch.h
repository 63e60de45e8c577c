// The one bridge to every ATen operator: its schema, read once, says how each argument is converted. No C++ an operator.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <node_api.h>

#include <string>
#include <vector>

#include "handles.h"

namespace blip2 {

enum class Kind : uint8_t {
  kTensor,
  kScalar,
  kInt,
  kFloat,
  kBool,
  kString,
  kDtype,
  kLayout,
  kMemoryFormat,
  kDevice,
  kGenerator,
  kTensorList,
  kOptionalTensorList,
  kScalarList,
  kIntList,
  kFloatList,
  kBoolList,
  kStringList,
};

struct Parameter {
  std::string name;
  Kind kind;
  bool optional;   // `Tensor?`, `int[]?`: null and undefined stand for none
  int32_t expand;  // `int[2]`: one integer stands for this many; 0 otherwise
  bool has_default;
  c10::IValue default_value;
};

struct Operator {
  std::string name;  // "add.Tensor"
  c10::OperatorHandle handle;
  std::vector<Parameter> parameters;
};

void RegisterDispatch(napi_env env, napi_value exports);

}  // namespace blip2
