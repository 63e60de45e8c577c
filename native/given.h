// The arguments of one call of an operator, and their reading.
#pragma once

#include <ATen/core/Generator.h>
#include <c10/util/SmallVector.h>
#include <node_api.h>

#include "convert.h"
#include "handles.h"
#include "schema.h"

namespace blip2 {

using Ints = c10::SmallVector<int64_t, 8>;

/// The arguments of one call, as JavaScript gave them.
struct Given {
  Environment& environment;
  const Operator& op;
  const napi_value* values;
  size_t count;
  bool spread;  // the values from `op.list` on are the elements of that list

  napi_env env() const { return environment.env; }
  napi_value operator[](size_t i) const { return values[i]; }
  const Parameter& parameter(size_t i) const { return op.parameters[i]; }
  const char* name(size_t i) const { return op.parameters[i].name.c_str(); }

  /// What stands for a value that was left out, or for which null was given; a null pointer where a value is there. Throws where
  /// there must be one.
  const c10::IValue* Absent(size_t i) const {
    static const c10::IValue none;
    if (spread && i == op.list) return nullptr;
    const auto& parameter = op.parameters[i];
    if (i >= count || (spread && i > op.list)) {
      if (parameter.has_default) return &parameter.default_value;
      if (parameter.optional) return &none;
      throw ArgumentError(parameter.name, "a value", "nothing");
    }
    if (!(parameter.optional || parameter.has_default) || !IsNullish(env(), values[i])) return nullptr;
    return parameter.optional ? &none : &parameter.default_value;
  }

  at::Tensor& Tensor(size_t i) const { return TensorIn(values[i], i); }
  at::Tensor& TensorIn(napi_value value, size_t i) const {
    return environment.tensors.Get(ToHandle(env(), value, name(i)), name(i));
  }

  /// An `int[]`: an array, the rest of the arguments, or one integer where the schema gives a length.
  Ints IntList(size_t i) const;
};

}  // namespace blip2
