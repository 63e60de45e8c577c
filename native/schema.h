// What an operator's schema says of its arguments, in the form that the bridge works from.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <memory>
#include <string>
#include <vector>

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
  kOptionalScalarList,
  kIntList,
  kFloatList,
  kBoolList,
  kStringList,
};

struct Parameter {
  explicit Parameter(const c10::Argument& argument);

  std::string name;
  Kind kind;
  bool optional = false;  // `Tensor?`, `int[]?`: null and undefined stand for none
  bool symbolic = false;  // SymInt rather than int, which C++ signatures tell apart
  bool written = false;   // `Tensor(a!)`: an in-place or out variant changes it
  int32_t expand = 0;     // `int[2]`: one integer stands for this many; 0 otherwise
  bool has_default;
  c10::IValue default_value;
};

class TypedCall;  // typed.h

struct Operator {
  Operator(std::string name, const c10::OperatorHandle& handle);
  ~Operator();

  std::string name;  // "add.Tensor"
  c10::OperatorHandle handle;
  std::vector<Parameter> parameters;
  size_t list;                       // the first `int[]`, which `callSpread` gathers; parameters.size() where there is none
  std::unique_ptr<TypedCall> typed;  // null where the operator is called boxed
};

}  // namespace blip2
