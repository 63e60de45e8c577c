#include "dispatch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <sstream>

#include "convert.h"
#include "given.h"
#include "schema.h"
#include "typed.h"

namespace blip2 {

namespace {

constexpr size_t kMostArguments = 32;

struct LayoutName {
  const char* name;
  c10::Layout layout;
};

constexpr LayoutName kLayouts[] = {
    {"strided", c10::Layout::Strided},      {"sparse_coo", c10::Layout::Sparse},    {"sparse_csr", c10::Layout::SparseCsr},
    {"sparse_csc", c10::Layout::SparseCsc}, {"sparse_bsr", c10::Layout::SparseBsr}, {"sparse_bsc", c10::Layout::SparseBsc},
    {"_mkldnn", c10::Layout::Mkldnn},       {"jagged", c10::Layout::Jagged},
};

// ---- converting arguments --------------------------------------------------------------------------------------------------

c10::Layout ToLayout(napi_env env, napi_value value, const char* argument) {
  const std::string name = ToString(env, value, argument);
  for (const auto& layout : kLayouts) {
    if (name == layout.name) return layout.layout;
  }
  std::string expected = "one of";
  for (const auto& layout : kLayouts) expected += (&layout == kLayouts ? " \"" : ", \"") + std::string(layout.name) + "\"";
  throw ArgumentError(argument, expected, Describe(env, value));
}

c10::MemoryFormat ToMemoryFormat(napi_env env, napi_value value, const char* argument) {
  const std::string name = ToString(env, value, argument);
  if (name == "contiguous_format") return c10::MemoryFormat::Contiguous;
  if (name == "preserve_format") return c10::MemoryFormat::Preserve;
  if (name == "channels_last") return c10::MemoryFormat::ChannelsLast;
  if (name == "channels_last_3d") return c10::MemoryFormat::ChannelsLast3d;
  throw ArgumentError(argument, "\"contiguous_format\", \"preserve_format\", \"channels_last\" or \"channels_last_3d\"",
                      Describe(env, value));
}

template <typename T, typename Read>
c10::IValue ToList(const Given& given, size_t i, const char* expected, Read&& read) {
  const auto& parameter = given.parameter(i);
  c10::List<T> list;
  if (parameter.expand > 0) {
    napi_valuetype type;
    napi_typeof(given.env(), given[i], &type);
    if (type == napi_number || type == napi_boolean) {
      const T one = read(given[i]);
      for (int32_t k = 0; k < parameter.expand; ++k) list.push_back(one);
      return list;
    }
  }
  ForEachElement(given.env(), given[i], given.name(i), expected,
                 [&](napi_value element, uint32_t) { list.push_back(read(element)); });
  return list;
}

c10::IValue Box(const Given& given, size_t i) {
  if (const auto* value = given.Absent(i)) return *value;
  napi_env env = given.env();
  const char* name = given.name(i);
  const napi_value value = given[i];
  switch (given.parameter(i).kind) {
    case Kind::kTensor:
      return given.Tensor(i);
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
      return given.environment.generators.Get(ToHandle(env, value, name, "a generator"), name);
    case Kind::kTensorList:
      return ToList<at::Tensor>(given, i, "an array of tensors", [&](napi_value element) { return given.TensorIn(element, i); });
    case Kind::kOptionalTensorList:
      return ToList<std::optional<at::Tensor>>(given, i, "an array of tensors and nulls", [&](napi_value element) {
        return IsNullish(env, element) ? std::nullopt : std::optional<at::Tensor>(given.TensorIn(element, i));
      });
    case Kind::kScalarList: {
      c10::impl::GenericList list(c10::NumberType::get());
      ForEachElement(env, value, name, "an array of numbers",
                     [&](napi_value element, uint32_t) { list.push_back(ToScalar(env, element, name)); });
      return list;
    }
    case Kind::kOptionalScalarList:
      return ToList<std::optional<at::Scalar>>(given, i, "an array of numbers and nulls", [&](napi_value element) {
        return IsNullish(env, element) ? std::nullopt : std::optional<at::Scalar>(ToScalar(env, element, name));
      });
    case Kind::kIntList: {
      const Ints ints = given.IntList(i);
      return c10::IValue(at::IntArrayRef(ints));
    }
    case Kind::kFloatList:
      return ToList<double>(given, i, "an array of numbers", [&](napi_value element) { return ToDouble(env, element, name); });
    case Kind::kBoolList:
      return ToList<bool>(given, i, "an array of booleans", [&](napi_value element) { return ToBool(env, element, name); });
    case Kind::kStringList:
      return ToList<std::string>(given, i, "an array of strings",
                                 [&](napi_value element) { return ToString(env, element, name); });
  }
  throw std::runtime_error("unreachable argument kind");
}

// ---- calling ---------------------------------------------------------------------------------------------------------------

std::string DescribeArgument(const Given& given, size_t i) {
  std::ostringstream out;
  try {
    if (given.Absent(i) == nullptr) {
      if (given.parameter(i).kind == Kind::kTensor) {
        const auto& tensor = given.Tensor(i);
        out << c10::toString(tensor.scalar_type()) << " " << tensor.sizes();
        return out.str();
      }
      if (given.parameter(i).kind == Kind::kIntList) {
        out << at::IntArrayRef(given.IntList(i));
        return out.str();
      }
      if (given.parameter(i).kind == Kind::kDtype) return c10::toString(ToScalarType(given.env(), given[i], ""));
    }
  } catch (const std::exception&) {
    if (given.parameter(i).kind == Kind::kTensor) return "no live tensor";
  }
  return Describe(given.env(), given[i]);
}

// "add.Tensor(self: Float [2, 3], other: Float [4])", for error messages.
std::string DescribeCall(const Given& given) {
  std::ostringstream out;
  out << given.op.name << "(";
  const size_t shown = std::min({given.count, given.op.parameters.size(), given.spread ? given.op.list + 1 : given.count});
  for (size_t i = 0; i < shown; ++i) {
    out << (i > 0 ? ", " : "") << given.name(i) << ": ";
    out << DescribeArgument(given, i);
  }
  out << ")";
  return out.str();
}

napi_value ResultsOf(Environment& environment, torch::jit::Stack& stack) {
  if (stack.size() == 1) return ToJs(environment, std::move(stack[0]));
  napi_value results;
  napi_create_array_with_length(environment.env, stack.size(), &results);
  for (size_t i = 0; i < stack.size(); ++i) napi_set_element(environment.env, results, i, ToJs(environment, std::move(stack[i])));
  return results;
}

// The stack of one call. Reading an argument may run JavaScript (a getter of an array's element), which may call again: such an
// inner call has a stack of its own.
class CallStack {
 public:
  explicit CallStack(Environment& environment) : environment_(environment), inner_(environment.calling) {
    environment.calling = true;
  }
  ~CallStack() {
    if (inner_) return;
    environment_.stack.clear();
    environment_.calling = false;
  }
  CallStack(const CallStack&) = delete;
  torch::jit::Stack& get() { return inner_ ? own_ : environment_.stack; }

 private:
  Environment& environment_;
  const bool inner_;
  torch::jit::Stack own_;
};

// What JavaScript calls: (number of the operator, …its arguments). With kSpread the operator's first `int[]` is given as the rest
// of the arguments, which cost a tenth of an array's elements. Without kReturns nothing is returned: in-place and out variants
// return what they were given.
template <bool kSpread, bool kReturns>
napi_value Call(napi_env env, napi_callback_info info) {
  size_t count = kMostArguments;
  napi_value values[kMostArguments];
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, &data);
  auto& environment = *static_cast<Environment*>(data);
  int32_t id = -1;
  if (count < 1 || napi_get_value_int32(env, values[0], &id) != napi_ok || id < 0 ||
      static_cast<size_t>(id) >= environment.operators.size()) {
    napi_throw_error(env, "ERR_ARGUMENT", "the first argument of a call is the number of an operator that was looked up");
    return nullptr;
  }
  const Operator& op = *environment.operators[id];
  CallStack call_stack(environment);
  auto& stack = call_stack.get();
  const Given given{environment, op, values + 1, std::min(count, kMostArguments) - 1, kSpread};
  napi_value result = nullptr;
  try {
    const size_t most = kSpread ? kMostArguments - 1 : op.parameters.size();
    if (count - 1 > most)
      throw ArgumentError("the call", "at most " + std::to_string(most) + " arguments", std::to_string(count - 1));
    if (op.typed != nullptr) {
      at::Tensor tensor = (*op.typed)(given);
      if constexpr (kReturns) result = ToJs(environment, std::move(tensor));
    } else {
      for (size_t i = 0; i < op.parameters.size(); ++i) stack.push_back(Box(given, i));
      op.handle.callBoxed(stack);
      if constexpr (kReturns) result = ResultsOf(environment, stack);
    }
  } catch (...) {
    ThrowCurrent(env, op.name, DescribeCall(given));
  }
  return result;
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
    if (!handle)
      throw ArgumentError("name", "the name of an operator of this libtorch, such as \"add.Tensor\"", "\"" + full + "\"");
    auto op = std::make_unique<Operator>(full, *handle);
    if (op->parameters.size() >= kMostArguments) throw std::runtime_error("takes more arguments than the bridge passes");
    environment.operators.push_back(std::move(op));
    return ToJs(env, static_cast<int32_t>(environment.operators.size() - 1));
  } catch (...) {
    ThrowCurrent(env, where, "");
    return nullptr;
  }
}

// Every operator of this libtorch that has a schema, as `lookup` takes it; those of other namespaces than aten with their own.
napi_value OperatorNames(napi_env env, napi_callback_info) {
  return Guard(env, "operatorNames", [&]() -> napi_value {
    napi_value names;
    napi_create_array(env, &names);
    uint32_t count = 0;
    for (const auto& op : c10::Dispatcher::singleton().getAllOpNames()) {
      if (!c10::Dispatcher::singleton().findSchema(op)) continue;
      const std::string name = op.name.rfind("aten::", 0) == 0 ? op.name.substr(6) : op.name;
      napi_set_element(env, names, count++, ToJs(env, op.overload_name.empty() ? name : name + "." + op.overload_name));
    }
    return names;
  });
}

bool IsHandle(Kind kind) {
  return kind == Kind::kTensor || kind == Kind::kTensorList || kind == Kind::kOptionalTensorList || kind == Kind::kGenerator;
}

// {schema, returns: ["Tensor", …], names: [of arguments], writes: [indices of those that are written], handles: [… that are
// tensors or generators]}
napi_value Schema(napi_env env, napi_callback_info info) {
  return Guard(env, "schema", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const int64_t id = ToInt64(env, args[0], "operator");
    auto& operators = EnvironmentOf(env).operators;
    if (id < 0 || static_cast<size_t>(id) >= operators.size())
      throw ArgumentError("operator", "a looked-up operator", std::to_string(id));
    const auto& schema = operators[id]->handle.schema();
    std::ostringstream text;
    text << schema;
    napi_value result, returns, writes, handles, names;
    napi_create_object(env, &result);
    napi_create_array(env, &returns);
    napi_create_array(env, &writes);
    napi_create_array(env, &handles);
    napi_create_array(env, &names);
    uint32_t index = 0;
    for (const auto& type : schema.returns())
      napi_set_element(env, returns, index++, ToJs(env, type.real_type()->annotation_str()));
    uint32_t written = 0, handled = 0;
    const auto& parameters = operators[id]->parameters;
    for (uint32_t i = 0; i < parameters.size(); ++i) {
      napi_set_element(env, names, i, ToJs(env, parameters[i].name));
      if (parameters[i].written) napi_set_element(env, writes, written++, ToJs(env, static_cast<int32_t>(i)));
      if (IsHandle(parameters[i].kind)) napi_set_element(env, handles, handled++, ToJs(env, static_cast<int32_t>(i)));
    }
    napi_set_named_property(env, result, "schema", ToJs(env, text.str()));
    napi_set_named_property(env, result, "returns", returns);
    napi_set_named_property(env, result, "writes", writes);
    napi_set_named_property(env, result, "handles", handles);
    napi_set_named_property(env, result, "names", names);
    return result;
  });
}

}  // namespace

void RegisterDispatch(napi_env env, napi_value exports) {
  Export(env, exports, "lookup", Lookup);
  Export(env, exports, "operatorNames", OperatorNames);
  Export(env, exports, "schema", Schema);
  // The hot functions carry their environment, which saves asking N-API for it at every call.
  Export(env, exports, "call", Call<false, true>, &EnvironmentOf(env));
  Export(env, exports, "callSpread", Call<true, true>, &EnvironmentOf(env));
  Export(env, exports, "callInPlace", Call<false, false>, &EnvironmentOf(env));
}

}  // namespace blip2
