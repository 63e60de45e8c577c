#include "convert.h"

#include <ATen/ATen.h>

#include <cmath>
#include <sstream>

namespace blip2 {

namespace {

constexpr double kSafeInteger = 9007199254740991.0;

struct DtypeName {
  const char* name;
  c10::ScalarType type;
};

constexpr DtypeName kDtypes[] = {
    {"float32", c10::ScalarType::Float},
    {"float64", c10::ScalarType::Double},
    {"float16", c10::ScalarType::Half},
    {"bfloat16", c10::ScalarType::BFloat16},
    {"int64", c10::ScalarType::Long},
    {"int32", c10::ScalarType::Int},
    {"int16", c10::ScalarType::Short},
    {"int8", c10::ScalarType::Char},
    {"uint8", c10::ScalarType::Byte},
    {"bool", c10::ScalarType::Bool},
    {"uint16", c10::ScalarType::UInt16},
    {"uint32", c10::ScalarType::UInt32},
    {"uint64", c10::ScalarType::UInt64},
    {"complex64", c10::ScalarType::ComplexFloat},
    {"complex128", c10::ScalarType::ComplexDouble},
    {"float8_e4m3fn", c10::ScalarType::Float8_e4m3fn},
    {"float8_e5m2", c10::ScalarType::Float8_e5m2},
    {"float8_e8m0fnu", c10::ScalarType::Float8_e8m0fnu},
    {"float8_e4m3fnuz", c10::ScalarType::Float8_e4m3fnuz},
    {"float8_e5m2fnuz", c10::ScalarType::Float8_e5m2fnuz},
    {"float4_e2m1fn_x2", c10::ScalarType::Float4_e2m1fn_x2},
};

napi_valuetype TypeOf(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  return type;
}

std::string Text(napi_env env, napi_value value) {
  size_t length = 0;
  napi_get_value_string_utf8(env, value, nullptr, 0, &length);
  std::string text(length, '\0');
  napi_get_value_string_utf8(env, value, text.data(), length + 1, &length);
  return text;
}

}  // namespace

std::string Describe(napi_env env, napi_value value) {
  switch (TypeOf(env, value)) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean: {
      bool flag = false;
      napi_get_value_bool(env, value, &flag);
      return flag ? "true" : "false";
    }
    case napi_number: {
      double number = 0;
      napi_get_value_double(env, value, &number);
      std::ostringstream out;
      out.precision(17);
      out << "the number " << number;
      return out.str();
    }
    case napi_bigint:
      return "a BigInt";
    case napi_string: {
      std::string text = Text(env, value);
      if (text.size() > 60) text = text.substr(0, 57) + "...";
      return "the string \"" + text + "\"";
    }
    case napi_function:
      return "a function";
    case napi_symbol:
      return "a symbol";
    default: {
      bool is_array = false;
      napi_is_array(env, value, &is_array);
      if (is_array) {
        uint32_t length = 0;
        napi_get_array_length(env, value, &length);
        return "an array of " + std::to_string(length);
      }
      return "an object";
    }
  }
}

bool IsNullish(napi_env env, napi_value value) {
  const napi_valuetype type = TypeOf(env, value);
  return type == napi_undefined || type == napi_null;
}

int64_t ToInt64(napi_env env, napi_value value, const char* argument) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) == napi_ok) {
    if (std::abs(number) <= kSafeInteger && number == std::trunc(number)) return static_cast<int64_t>(number);
  } else if (TypeOf(env, value) == napi_bigint) {
    int64_t integer = 0;
    bool lossless = false;
    napi_get_value_bigint_int64(env, value, &integer, &lossless);
    if (lossless) return integer;
  }
  const bool large = TypeOf(env, value) == napi_bigint;
  throw ArgumentError(argument, "an integer", large ? "a BigInt that int64 cannot hold" : Describe(env, value));
}

double ToDouble(napi_env env, napi_value value, const char* argument) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) == napi_ok) return number;
  if (TypeOf(env, value) == napi_bigint) return static_cast<double>(ToInt64(env, value, argument));
  throw ArgumentError(argument, "a number", Describe(env, value));
}

bool ToBool(napi_env env, napi_value value, const char* argument) {
  bool flag = false;
  if (napi_get_value_bool(env, value, &flag) == napi_ok) return flag;
  throw ArgumentError(argument, "true or false", Describe(env, value));
}

std::string ToString(napi_env env, napi_value value, const char* argument) {
  if (TypeOf(env, value) == napi_string) return Text(env, value);
  throw ArgumentError(argument, "a string", Describe(env, value));
}

int32_t ToHandle(napi_env env, napi_value value, const char* argument, const char* expected) {
  int32_t handle = 0;
  if (napi_get_value_int32(env, value, &handle) == napi_ok) return handle;
  // TypeScript passes on an object's handle, which anything else has not.
  throw ArgumentError(argument, expected, IsNullish(env, value) ? "nothing, or something that is none" : Describe(env, value));
}

at::Scalar ToScalar(napi_env env, napi_value value, const char* argument) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) == napi_ok) {
    // JavaScript has one kind of number: whole ones stay integers, so that an integer tensor plus 1 stays an integer tensor.
    if (std::abs(number) <= kSafeInteger && number == std::trunc(number) && !(number == 0 && std::signbit(number))) {
      return at::Scalar(static_cast<int64_t>(number));
    }
    return at::Scalar(number);
  }
  switch (TypeOf(env, value)) {
    case napi_boolean:
      return at::Scalar(ToBool(env, value, argument));
    case napi_bigint: {
      uint64_t integer = 0;
      bool lossless = false;
      napi_get_value_bigint_uint64(env, value, &integer, &lossless);
      return lossless ? at::Scalar(integer) : at::Scalar(ToInt64(env, value, argument));
    }
    default:
      throw ArgumentError(argument, "a number, BigInt or boolean", Describe(env, value));
  }
}

c10::ScalarType ToScalarType(napi_env env, napi_value value, const char* argument) {
  if (TypeOf(env, value) == napi_string) {
    const std::string name = Text(env, value);
    for (const auto& dtype : kDtypes) {
      if (name == dtype.name) return dtype.type;
    }
  } else {
    double number = -1;
    if (napi_get_value_double(env, value, &number) == napi_ok) {
      for (const auto& dtype : kDtypes) {
        if (number == static_cast<double>(dtype.type)) return dtype.type;
      }
    }
  }
  throw ArgumentError(argument, "a dtype such as \"float32\"", Describe(env, value));
}

c10::Device ToDevice(napi_env env, napi_value value, const char* argument) {
  if (TypeOf(env, value) == napi_string) {
    try {
      return c10::Device(Text(env, value));
    } catch (const c10::Error&) {
    }
  }
  throw ArgumentError(argument, "a device such as \"cpu\" or \"cuda:0\"", Describe(env, value));
}

std::vector<int64_t> ToInt64List(napi_env env, napi_value value, const char* argument) {
  std::vector<int64_t> list;
  ForEachElement(env, value, argument, "an array of integers",
                 [&](napi_value element, uint32_t) { list.push_back(ToInt64(env, element, argument)); });
  return list;
}

napi_value ToJs(napi_env env, bool value) {
  napi_value result;
  napi_get_boolean(env, value, &result);
  return result;
}

napi_value ToJs(napi_env env, int32_t value) {
  napi_value result;
  napi_create_int32(env, value, &result);
  return result;
}

napi_value ToJs(napi_env env, int64_t value) {
  napi_value result;
  if (std::abs(static_cast<double>(value)) <= kSafeInteger) {
    napi_create_int64(env, value, &result);
  } else {
    napi_create_bigint_int64(env, value, &result);
  }
  return result;
}

napi_value ToJs(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

napi_value ToJs(napi_env env, const at::Scalar& value) {
  if (value.isComplex()) throw ArgumentError("result", "a real number", "a complex number");
  if (value.isBoolean()) return ToJs(env, value.toBool());
  if (value.isFloatingPoint()) return ToJs(env, value.toDouble());
  if (value.type() != c10::ScalarType::UInt64) return ToJs(env, value.toLong());
  napi_value result;
  napi_create_bigint_uint64(env, value.toUInt64(), &result);
  return result;
}

napi_value ToJs(napi_env env, const std::string& value) {
  napi_value result;
  napi_create_string_utf8(env, value.data(), value.size(), &result);
  return result;
}

napi_value ToJs(napi_env env, c10::IntArrayRef values) {
  napi_value result;
  napi_create_array_with_length(env, values.size(), &result);
  for (size_t i = 0; i < values.size(); ++i) napi_set_element(env, result, i, ToJs(env, values[i]));
  return result;
}

napi_value ToJs(Environment& environment, at::Tensor&& tensor) {
  if (tensor.defined()) return ToJs(environment.env, environment.PutTensor(std::move(tensor)));
  napi_value null;
  napi_get_null(environment.env, &null);
  return null;
}

napi_value ToJs(Environment& environment, c10::IValue&& value) {
  napi_env env = environment.env;
  if (value.isTensor()) {
    return ToJs(environment, std::move(value).toTensor());
  } else if (value.isInt()) {
    return ToJs(env, value.toInt());
  } else if (value.isSymInt()) {
    return ToJs(env, value.toSymInt().guard_int(__FILE__, __LINE__));
  } else if (value.isDouble()) {
    return ToJs(env, value.toDouble());
  } else if (value.isSymFloat()) {
    return ToJs(env, value.toSymFloat().guard_float(__FILE__, __LINE__));
  } else if (value.isBool()) {
    return ToJs(env, value.toBool());
  } else if (value.isSymBool()) {
    return ToJs(env, value.toSymBool().guard_bool(__FILE__, __LINE__));
  } else if (value.isScalar() || value.isUnsigned()) {
    return ToJs(env, value.toScalar());
  } else if (value.isString()) {
    return ToJs(env, value.toStringRef());
  } else if (value.isDevice()) {
    return ToJs(env, value.toDevice().str());
  } else if (value.isGenerator()) {
    return ToJs(env, environment.generators.Put(value.toGenerator()));
  } else if (value.isTuple() || value.isList()) {
    std::vector<c10::IValue> elements;
    if (value.isTuple()) {
      for (const auto& element : value.toTupleRef().elements()) elements.push_back(element);
    } else {
      for (const auto& element : value.toListRef()) elements.push_back(element);
    }
    napi_value result;
    napi_create_array_with_length(env, elements.size(), &result);
    for (size_t i = 0; i < elements.size(); ++i) napi_set_element(env, result, i, ToJs(environment, std::move(elements[i])));
    return result;
  } else if (!value.isNone()) {
    throw std::runtime_error("returns a value of a kind that JavaScript has no form for: " + value.tagKind());
  }
  napi_value null;
  napi_get_null(env, &null);
  return null;
}

void Export(napi_env env, napi_value exports, const char* name, napi_callback callback, void* data) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function);
  napi_set_named_property(env, exports, name, function);
}

Arguments::Arguments(napi_env env, napi_callback_info info, size_t required) : env_(env) {
  napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr);
  if (count_ < required) {
    throw ArgumentError("the call", std::to_string(required) + " arguments", std::to_string(count_));
  }
}

const at::Tensor& Arguments::Tensor(size_t i, const char* argument) const {
  return EnvironmentOf(env_).tensors.Get(ToHandle(env_, values_[i], argument), argument);
}

std::vector<at::Tensor> Arguments::Tensors(size_t i, const char* argument) const {
  std::vector<at::Tensor> tensors;
  auto& environment = EnvironmentOf(env_);
  ForEachElement(env_, values_[i], argument, "an array of tensors", [&](napi_value element, uint32_t) {
    tensors.push_back(environment.tensors.Get(ToHandle(env_, element, argument), argument));
  });
  return tensors;
}

}  // namespace blip2
