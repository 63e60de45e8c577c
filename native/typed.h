// A faster way to the same operators: for the commonest forms of schema, whichever operator has them, libtorch's kernels are
// called with C++ values instead of a stack of boxed ones, which saves a small operator some 10 % and a list of integers two
// allocations.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "given.h"

namespace blip2 {

/// An operator that returns one tensor, called unboxed.
class TypedCall {
 public:
  virtual ~TypedCall() = default;
  virtual at::Tensor operator()(const Given& given) const = 0;
};

/// Null where the operator's schema has none of the forms.
std::unique_ptr<TypedCall> FindTypedCall(const Operator& op);

}  // namespace blip2
