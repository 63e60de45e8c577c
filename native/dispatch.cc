#include "dispatch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <sstream>

#include "convert.h"

namespace blip2 {

namespace {

constexpr size_t kMostArguments = 32;

// ---- reading a schema ------------------------------------------------------------------------------------------------------

Kind ElementKind(const c10::TypePtr& type, const std::string& argument) {
  switch (type->kind()) {
    case c10::TypeKind::TensorType:
      return Kind::kTensor;
    case c10::TypeKind::NumberType:
      return Kind::kScalar;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      return Kind::kInt;
    case c10::TypeKind::FloatType:
    case c10::TypeKind::SymFloatType:
      return Kind::kFloat;
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType:
      return Kind::kBool;
    case c10::TypeKind::StringType:
      return Kind::kString;
    case c10::TypeKind::ScalarTypeType:
      return Kind::kDtype;
    case c10::TypeKind::LayoutType:
      return Kind::kLayout;
    case c10::TypeKind::MemoryFormatType:
      return Kind::kMemoryFormat;
    case c10::TypeKind::DeviceObjType:
      return Kind::kDevice;
    case c10::TypeKind::GeneratorType:
      return Kind::kGenerator;
    default:
      throw std::runtime_error("takes an argument " + argument + " of type " + type->repr_str() + ", which JavaScript has no form for");
  }
}

Kind ListKind(Kind element, const std::string& argument) {
  switch (element) {
    case Kind::kTensor:
      return Kind::kTensorList;
    case Kind::kScalar:
      return Kind::kScalarList;
    case Kind::kInt:
      return Kind::kIntList;
    case Kind::kFloat:
      return Kind::kFloatList;
    case Kind::kBool:
      return Kind::kBoolList;
    case Kind::kString:
      return Kind::kStringList;
    default:
      throw std::runtime_error("takes a list " + argument + " of a kind that JavaScript has no form for");
  }
}

Parameter ReadParameter(const c10::Argument& argument) {
  Parameter parameter;
  parameter.name = argument.name();
  parameter.optional = false;
  parameter.expand = 0;
  c10::TypePtr type = argument.real_type();
  if (auto optional = type->cast<c10::OptionalType>()) {
    parameter.optional = true;
    type = optional->getElementType();
  }
  if (auto list = type->cast<c10::ListType>()) {
    c10::TypePtr element = list->getElementType();
    if (auto optional = element->cast<c10::OptionalType>()) {
      if (ElementKind(optional->getElementType(), parameter.name) != Kind::kTensor) {
        throw std::runtime_error("takes a list " + parameter.name + " of a kind that JavaScript has no form for");
      }
      parameter.kind = Kind::kOptionalTensorList;
    } else {
      parameter.kind = ListKind(ElementKind(element, parameter.name), parameter.name);
    }
    if (argument.N()) parameter.expand = *argument.N();
  } else {
    parameter.kind = ElementKind(type, parameter.name);
  }
  parameter.has_default = argument.default_value().has_value();
  if (parameter.has_default) parameter.default_value = *argument.default_value();
  return parameter;
}

// ---- converting arguments --------------------------------------------------------------------------------------------------

c10::Layout ToLayout(napi_env env, napi_value value, const char* argument) {
  const std::string name = ToString(env, value, argument);
  if (name == "strided") return c10::Layout::Strided;
  if (name == "sparse_coo") return c10::Layout::Sparse;
  if (name == "sparse_csr") return c10::Layout::SparseCsr;
  throw ArgumentError(argument, "\"strided\", \"sparse_coo\" or \"sparse_csr\"", Describe(env, value));
}

c10::MemoryFormat ToMemoryFormat(napi_env env, napi_value value, const char* argument) {
  const std::string name = ToString(env, value, argument);
  if (name == "contiguous_format") return c10::MemoryFormat::Contiguous;
  if (name == "preserve_format") return c10::MemoryFormat::Preserve;
  if (name == "channels_last") return c10::MemoryFormat::ChannelsLast;
  if (name == "channels_last_3d") return c10::MemoryFormat::ChannelsLast3d;
  throw ArgumentError(argument, "\"contiguous_format\", \"preserve_format\", \"channels_last\" or \"channels_last_3d\"", Describe(env, value));
}

template <typename T, typename Convert>
c10::IValue ToList(napi_env env, napi_value value, const Parameter& parameter, const char* expected, Convert&& convert) {
  const char* name = parameter.name.c_str();
  c10::List<T> list;
  if (parameter.expand > 0) {
    napi_valuetype type;
    napi_typeof(env, value, &type);
    if (type == napi_number || type == napi_boolean) {
      for (int32_t i = 0; i < parameter.expand; ++i) list.push_back(convert(value));
      return list;
    }
  }
  ForEachElement(env, value, name, expected, [&](napi_value element, uint32_t) { list.push_back(convert(element)); });
  return list;
}

c10::IValue Convert(Environment& environment, napi_value value, const Parameter& parameter) {
  napi_env env = environment.env;
  const char* name = parameter.name.c_str();
  switch (parameter.kind) {
    case Kind::kTensor: {
      int32_t handle = 0;
      if (napi_get_value_int32(env, value, &handle) == napi_ok) return environment.tensors.Get(handle, name);
      break;
    }
    case Kind::kInt: {
      double number = 0;
      if (napi_get_value_double(env, value, &number) == napi_ok && number == static_cast<int32_t>(number)) {
        return static_cast<int64_t>(number);
      }
      break;
    }
    default:
      break;
  }
  if (IsNullish(env, value)) {
    if (parameter.optional) return c10::IValue();
    if (parameter.has_default) return parameter.default_value;
  }
  switch (parameter.kind) {
    case Kind::kTensor:
      throw ArgumentError(name, "a tensor", Describe(env, value));
    case Kind::kScalar:
      return ToScalar(env, value, name);
    case Kind::kInt:
      return ToInt64(env, value, name);
    case Kind::kFloat:
      return ToDouble(env, value, name);
    case Kind::kBool:
      return ToBool(env, value, name);
    case Kind::kString:
      return ToString(env, value, name);
    case Kind::kDtype:
      return static_cast<int64_t>(ToScalarType(env, value, name));
    case Kind::kLayout:
      return static_cast<int64_t>(ToLayout(env, value, name));
    case Kind::kMemoryFormat:
      return static_cast<int64_t>(ToMemoryFormat(env, value, name));
    case Kind::kDevice:
      return ToDevice(env, value, name);
    case Kind::kGenerator:
      return environment.generators.Get(ToHandle(env, value, name), name);
    case Kind::kTensorList:
      return ToList<at::Tensor>(env, value, parameter, "an array of tensors",
                                [&](napi_value element) { return environment.tensors.Get(ToHandle(env, element, name), name); });
    case Kind::kOptionalTensorList:
      return ToList<std::optional<at::Tensor>>(env, value, parameter, "an array of tensors and nulls", [&](napi_value element) {
        if (IsNullish(env, element)) return std::optional<at::Tensor>();
        return std::optional<at::Tensor>(environment.tensors.Get(ToHandle(env, element, name), name));
      });
    case Kind::kScalarList: {
      c10::impl::GenericList list(c10::NumberType::get());
      ForEachElement(env, value, name, "an array of numbers",
                     [&](napi_value element, uint32_t) { list.push_back(ToScalar(env, element, name)); });
      return list;
    }
    case Kind::kIntList:
      return ToList<int64_t>(env, value, parameter, "an array of integers",
                             [&](napi_value element) { return ToInt64(env, element, name); });
    case Kind::kFloatList:
      return ToList<double>(env, value, parameter, "an array of numbers",
                            [&](napi_value element) { return ToDouble(env, element, name); });
    case Kind::kBoolList:
      return ToList<bool>(env, value, parameter, "an array of booleans",
                          [&](napi_value element) { return ToBool(env, element, name); });
    case Kind::kStringList:
      return ToList<std::string>(env, value, parameter, "an array of strings",
                                 [&](napi_value element) { return ToString(env, element, name); });
  }
  throw std::runtime_error("unreachable argument kind");
}

// ---- calling ---------------------------------------------------------------------------------------------------------------

// "add.Tensor(self: float32 [2, 3], other: float32 [4])", for error messages.
std::string DescribeCall(Environment& environment, const Operator& op, const napi_value* values, size_t count) {
  napi_env env = environment.env;
  std::ostringstream out;
  out << op.name << "(";
  const size_t shown = std::min(count, op.parameters.size());
  for (size_t i = 0; i < shown; ++i) {
    const auto& parameter = op.parameters[i];
    if (i > 0) out << ", ";
    out << parameter.name << ": ";
    int32_t handle = 0;
    if (parameter.kind == Kind::kTensor && napi_get_value_int32(env, values[i], &handle) == napi_ok) {
      try {
        const auto& tensor = environment.tensors.Get(handle, "");
        out << c10::toString(tensor.scalar_type()) << " " << tensor.sizes();
      } catch (const std::exception&) {
        out << "a freed tensor";
      }
    } else if (parameter.kind == Kind::kIntList) {
      try {
        out << c10::IntArrayRef(ToInt64List(env, values[i], ""));
      } catch (const std::exception&) {
        out << Describe(env, values[i]);
      }
    } else {
      out << Describe(env, values[i]);
    }
  }
  out << ")";
  return out.str();
}

// Runs the operator and leaves what it returns on the environment's stack.
Operator* Run(Environment& environment, const napi_value* values, size_t count) {
  napi_env env = environment.env;
  int32_t id = -1;
  if (count < 1 || napi_get_value_int32(env, values[0], &id) != napi_ok || id < 0 ||
      static_cast<size_t>(id) >= environment.operators.size()) {
    napi_throw_error(env, "ERR_ARGUMENT", "the first argument of a call is the number of an operator that was looked up");
    return nullptr;
  }
  Operator& op = *environment.operators[id];
  auto& stack = environment.stack;
  stack.clear();
  ++values;
  --count;
  try {
    if (count > op.parameters.size()) {
      throw ArgumentError("the call", "at most " + std::to_string(op.parameters.size()) + " arguments", std::to_string(count));
    }
    for (size_t i = 0; i < op.parameters.size(); ++i) {
      const auto& parameter = op.parameters[i];
      if (i < count) {
        stack.push_back(Convert(environment, values[i], parameter));
      } else if (parameter.has_default) {
        stack.push_back(parameter.default_value);
      } else if (parameter.optional) {
        stack.emplace_back();
      } else {
        throw ArgumentError(parameter.name, "a value", "nothing");
      }
    }
    op.handle.callBoxed(stack);
    return &op;
  } catch (...) {
    stack.clear();
    ThrowCurrent(env, op.name, DescribeCall(environment, op, values, count));
    return nullptr;
  }
}

napi_value Call(napi_env env, napi_callback_info info) {
  size_t count = kMostArguments;
  napi_value values[kMostArguments];
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, &data);
  auto& environment = *static_cast<Environment*>(data);
  Operator* op = Run(environment, values, std::min(count, kMostArguments));
  if (op == nullptr) return nullptr;
  auto& stack = environment.stack;
  try {
    napi_value result;
    if (stack.size() == 1) {
      result = ToJs(environment, std::move(stack[0]));
    } else {
      napi_create_array_with_length(env, stack.size(), &result);
      for (size_t i = 0; i < stack.size(); ++i) napi_set_element(env, result, i, ToJs(environment, std::move(stack[i])));
    }
    stack.clear();
    return result;
  } catch (...) {
    stack.clear();
    ThrowCurrent(env, op->name, "");
    return nullptr;
  }
}

// For in-place and out variants: what they return is what they were given.
napi_value CallInPlace(napi_env env, napi_callback_info info) {
  size_t count = kMostArguments;
  napi_value values[kMostArguments];
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, &data);
  auto& environment = *static_cast<Environment*>(data);
  Run(environment, values, std::min(count, kMostArguments));
  environment.stack.clear();
  return nullptr;
}

// ---- looking up ------------------------------------------------------------------------------------------------------------

napi_value Lookup(napi_env env, napi_callback_info info) {
  std::string where = "lookup";
  try {
    Arguments args(env, info, 1);
    auto& environment = EnvironmentOf(env);
    const std::string full = ToString(env, args[0], "name");
    where = full;
    const bool qualified = full.find("::") != std::string::npos;
    const auto dot = full.find('.');
    std::string name = full.substr(0, dot);
    if (!qualified) name = "aten::" + name;
    const std::string overload = dot == std::string::npos ? "" : full.substr(dot + 1);
    const auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
    if (!handle) throw ArgumentError("name", "the name of an operator of this libtorch, such as \"add.Tensor\"", "\"" + full + "\"");
    auto op = std::make_unique<Operator>(Operator{full, *handle, {}});
    for (const auto& argument : handle->schema().arguments()) op->parameters.push_back(ReadParameter(argument));
    if (op->parameters.size() >= kMostArguments) throw std::runtime_error("takes more arguments than the bridge passes");
    environment.operators.push_back(std::move(op));
    return ToJs(env, static_cast<int32_t>(environment.operators.size() - 1));
  } catch (...) {
    ThrowCurrent(env, where, "");
    return nullptr;
  }
}

// {schema, returns: ["Tensor", …], writes: [indices of arguments that are written]}
napi_value Schema(napi_env env, napi_callback_info info) {
  return Guard(env, "schema", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const int64_t id = ToInt64(env, args[0], "operator");
    auto& operators = EnvironmentOf(env).operators;
    if (id < 0 || static_cast<size_t>(id) >= operators.size()) throw ArgumentError("operator", "a looked-up operator", std::to_string(id));
    const auto& schema = operators[id]->handle.schema();
    std::ostringstream text;
    text << schema;
    napi_value result, returns, writes;
    napi_create_object(env, &result);
    napi_create_array(env, &returns);
    napi_create_array(env, &writes);
    uint32_t index = 0;
    for (const auto& type : schema.returns()) napi_set_element(env, returns, index++, ToJs(env, type.type()->annotation_str()));
    uint32_t written = 0;
    const auto& arguments = schema.arguments();
    for (uint32_t i = 0; i < arguments.size(); ++i) {
      const auto* alias = arguments[i].alias_info();
      if (alias != nullptr && alias->isWrite()) napi_set_element(env, writes, written++, ToJs(env, static_cast<int32_t>(i)));
    }
    napi_set_named_property(env, result, "schema", ToJs(env, text.str()));
    napi_set_named_property(env, result, "returns", returns);
    napi_set_named_property(env, result, "writes", writes);
    return result;
  });
}

}  // namespace

void RegisterDispatch(napi_env env, napi_value exports) {
  Export(env, exports, "lookup", Lookup);
  Export(env, exports, "schema", Schema);
  // The two hot functions carry their environment, which saves asking N-API for it at every call.
  Export(env, exports, "call", Call, &EnvironmentOf(env));
  Export(env, exports, "callInPlace", CallInPlace, &EnvironmentOf(env));
}

}  // namespace blip2
