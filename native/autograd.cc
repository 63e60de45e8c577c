#include "autograd.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/core/AutogradState.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>

#include "convert.h"
#include "handles.h"

namespace blip2 {

namespace {

std::vector<at::Tensor> GradOutputs(napi_env env, const Arguments& args, size_t i, size_t outputs) {
  std::vector<at::Tensor> gradients;
  if (!args.Has(i)) return std::vector<at::Tensor>(outputs);
  auto& environment = EnvironmentOf(env);
  ForEachElement(env, args[i], "gradOutputs", "an array of tensors and nulls", [&](napi_value element, uint32_t) {
    gradients.push_back(IsNullish(env, element) ? at::Tensor()
                                                : environment.tensors.Get(ToHandle(env, element, "gradOutputs"), "gradOutputs"));
  });
  if (gradients.size() != outputs) {
    throw ArgumentError("gradOutputs", std::to_string(outputs) + " gradients, one an output", std::to_string(gradients.size()));
  }
  return gradients;
}

// backward(outputs, gradOutputs | null, retainGraph, createGraph, inputs | null)
napi_value Backward(napi_env env, napi_callback_info info) {
  return Guard(env, "backward", [&]() -> napi_value {
    Arguments args(env, info, 4);
    const auto outputs = args.Tensors(0, "outputs");
    const auto gradients = GradOutputs(env, args, 1, outputs.size());
    const bool retain = ToBool(env, args[2], "retainGraph");
    const bool create = ToBool(env, args[3], "createGraph");
    const auto inputs = args.Has(4) ? args.Tensors(4, "inputs") : std::vector<at::Tensor>();
    torch::autograd::backward(outputs, gradients, retain, create, inputs);
    return nullptr;
  });
}

// grad(outputs, inputs, gradOutputs | null, retainGraph, createGraph, allowUnused) → handles, null where unused
napi_value Grad(napi_env env, napi_callback_info info) {
  return Guard(env, "grad", [&]() -> napi_value {
    Arguments args(env, info, 6);
    const auto outputs = args.Tensors(0, "outputs");
    const auto inputs = args.Tensors(1, "inputs");
    const auto gradients = GradOutputs(env, args, 2, outputs.size());
    auto grads = torch::autograd::grad(outputs, inputs, gradients, ToBool(env, args[3], "retainGraph"),
                                       ToBool(env, args[4], "createGraph"), ToBool(env, args[5], "allowUnused"));
    napi_value result;
    napi_create_array_with_length(env, grads.size(), &result);
    auto& environment = EnvironmentOf(env);
    for (size_t i = 0; i < grads.size(); ++i)
      napi_set_element(env, result, i, ToJs(environment, c10::IValue(std::move(grads[i]))));
    return result;
  });
}

// The accumulated gradient, or null.
napi_value GradOf(napi_env env, napi_callback_info info) {
  return Guard(env, "grad", [&]() -> napi_value {
    Arguments args(env, info, 1);
    return ToJs(EnvironmentOf(env), c10::IValue(args.Tensor(0, "tensor").grad()));
  });
}

// The accumulated gradients of many tensors in one call; null where there is none.
napi_value GradsOf(napi_env env, napi_callback_info info) {
  return Guard(env, "gradsOf", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const auto tensors = args.Tensors(0, "tensors");
    auto& environment = EnvironmentOf(env);
    napi_value result;
    napi_create_array_with_length(env, tensors.size(), &result);
    for (size_t i = 0; i < tensors.size(); ++i)
      napi_set_element(env, result, i, ToJs(environment, c10::IValue(tensors[i].grad())));
    return result;
  });
}

napi_value SetGrad(napi_env env, napi_callback_info info) {
  return Guard(env, "setGrad", [&]() -> napi_value {
    Arguments args(env, info, 1);
    at::Tensor tensor = args.Tensor(0, "tensor");
    tensor.mutable_grad() = args.Has(1) ? args.Tensor(1, "gradient") : at::Tensor();
    return nullptr;
  });
}

// Lets go of the gradients of many tensors in one call.
napi_value ClearGrads(napi_env env, napi_callback_info info) {
  return Guard(env, "clearGrads", [&]() -> napi_value {
    Arguments args(env, info, 1);
    for (auto& tensor : args.Tensors(0, "tensors")) tensor.mutable_grad() = at::Tensor();
    return nullptr;
  });
}

napi_value RequiresGrad(napi_env env, napi_callback_info info) {
  return Guard(env, "requiresGrad", [&]() -> napi_value {
    Arguments args(env, info, 1);
    return ToJs(env, args.Tensor(0, "tensor").requires_grad());
  });
}

napi_value SetRequiresGrad(napi_env env, napi_callback_info info) {
  return Guard(env, "setRequiresGrad", [&]() -> napi_value {
    Arguments args(env, info, 2);
    at::Tensor tensor = args.Tensor(0, "tensor");
    const bool requires_grad = ToBool(env, args[1], "requiresGrad");
    if (!requires_grad && !tensor.is_leaf()) {
      throw std::runtime_error("a tensor that an operator made of others always takes their gradients: detach it instead");
    }
    tensor.set_requires_grad(requires_grad);
    return nullptr;
  });
}

napi_value IsLeaf(napi_env env, napi_callback_info info) {
  return Guard(env, "isLeaf", [&]() -> napi_value {
    Arguments args(env, info, 1);
    return ToJs(env, args.Tensor(0, "tensor").is_leaf());
  });
}

// The name of the function that will take the gradient on, such as "AddBackward0", or null.
napi_value GradFn(napi_env env, napi_callback_info info) {
  return Guard(env, "gradFn", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const at::Tensor& tensor = args.Tensor(0, "tensor");
    std::string name;
    try {
      const auto& function = tensor.grad_fn();
      if (function == nullptr) return ToJs(EnvironmentOf(env), c10::IValue());
      name = function->name();
    } catch (const c10::Error&) {
      return ToJs(env, std::string("Invalid"));  // a view that was made and then changed in place without grad mode
    }
    const auto colon = name.rfind("::");
    return ToJs(env, colon == std::string::npos ? name : name.substr(colon + 2));
  });
}

// Sets and returns what was set before, so that the caller can put it back.
napi_value SetGradMode(napi_env env, napi_callback_info info) {
  return Guard(env, "setGradMode", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const bool before = c10::GradMode::is_enabled();
    c10::GradMode::set_enabled(ToBool(env, args[0], "enabled"));
    return ToJs(env, before);
  });
}

napi_value GradModeEnabled(napi_env env, napi_callback_info) { return ToJs(env, c10::GradMode::is_enabled()); }

// What c10::InferenceMode does on construction, without an object whose lifetime JavaScript would have to keep.
napi_value SetInferenceMode(napi_env env, napi_callback_info info) {
  return Guard(env, "setInferenceMode", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const bool enabled = ToBool(env, args[0], "enabled");
    const bool before = c10::InferenceMode::is_enabled();
    if (enabled == before) return ToJs(env, before);
    c10::AutogradState state = c10::AutogradState::get_tls_state();
    state.set_grad_mode(!enabled);
    state.set_inference_mode(enabled);
    state.set_fw_grad_mode(!enabled);
    c10::AutogradState::set_tls_state(state);
    auto keys = c10::impl::tls_local_dispatch_key_set();
    if (enabled) {
      keys.included_ = keys.included_.remove(c10::DispatchKey::ADInplaceOrView);
      keys.excluded_ = keys.excluded_ | c10::autograd_dispatch_keyset;
    } else {
      keys.included_ = keys.included_.add(c10::DispatchKey::ADInplaceOrView);
      keys.excluded_ = keys.excluded_ - c10::autograd_dispatch_keyset;
    }
    c10::impl::_force_tls_local_dispatch_key_set(keys);
    return ToJs(env, before);
  });
}

// setAutocast(deviceType, dtype | null) → the dtype's number that was set before, or null where autocast was off.
napi_value SetAutocast(napi_env env, napi_callback_info info) {
  return Guard(env, "setAutocast", [&]() -> napi_value {
    Arguments args(env, info, 2);
    const auto device = ToDevice(env, args[0], "device").type();
    napi_value before;
    if (at::autocast::is_autocast_enabled(device)) {
      before = ToJs(env, static_cast<int32_t>(at::autocast::get_autocast_dtype(device)));
    } else {
      napi_get_null(env, &before);
    }
    if (args.Has(1)) {
      const auto dtype = ToScalarType(env, args[1], "dtype");
      if (dtype != at::autocast::get_autocast_dtype(device))
        at::autocast::clear_cache();  // it keeps weights' casts whatever their dtype
      at::autocast::set_autocast_dtype(device, dtype);
      at::autocast::set_autocast_enabled(device, true);
    } else {
      at::autocast::set_autocast_enabled(device, false);
      at::autocast::clear_cache();  // casts of weights, which the next step will have changed
    }
    return before;
  });
}

}  // namespace

void RegisterAutograd(napi_env env, napi_value exports) {
  Export(env, exports, "backward", Backward);
  Export(env, exports, "grad", Grad);
  Export(env, exports, "gradOf", GradOf);
  Export(env, exports, "gradsOf", GradsOf);
  Export(env, exports, "setGrad", SetGrad);
  Export(env, exports, "clearGrads", ClearGrads);
  Export(env, exports, "requiresGrad", RequiresGrad);
  Export(env, exports, "setRequiresGrad", SetRequiresGrad);
  Export(env, exports, "isLeaf", IsLeaf);
  Export(env, exports, "gradFn", GradFn);
  Export(env, exports, "setGradMode", SetGradMode);
  Export(env, exports, "gradModeEnabled", GradModeEnabled);
  Export(env, exports, "setInferenceMode", SetInferenceMode);
  Export(env, exports, "setAutocast", SetAutocast);
}

}  // namespace blip2
