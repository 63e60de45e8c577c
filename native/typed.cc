#include "typed.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <functional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace blip2 {

namespace {

// ---- one C++ type of argument each: the letter that stands for it in a form, and how it is read
// ---------------------------------

template <typename T>
struct Reader;

template <>
struct Reader<const at::Tensor&> {
  static constexpr char kLetter = 'T';
  static const at::Tensor& Read(const Given& given, size_t i) {
    given.Absent(i);
    return given.Tensor(i);
  }
};

template <>
struct Reader<at::Tensor&> {
  static constexpr char kLetter = 'W';
  static at::Tensor& Read(const Given& given, size_t i) {
    given.Absent(i);
    return given.Tensor(i);
  }
};

template <>
struct Reader<const std::optional<at::Tensor>&> {
  static constexpr char kLetter = 't';
  static std::optional<at::Tensor> Read(const Given& given, size_t i) {
    if (given.Absent(i) != nullptr) return std::nullopt;
    return given.Tensor(i);
  }
};

template <>
struct Reader<const at::Scalar&> {
  static constexpr char kLetter = 'S';
  static at::Scalar Read(const Given& given, size_t i) {
    if (const auto* value = given.Absent(i)) return value->toScalar();
    return ToScalar(given.env(), given[i], given.name(i));
  }
};

template <>
struct Reader<int64_t> {
  static constexpr char kLetter = 'i';
  static int64_t Read(const Given& given, size_t i) {
    if (const auto* value = given.Absent(i)) return value->toInt();
    return ToInt64(given.env(), given[i], given.name(i));
  }
};

template <>
struct Reader<c10::SymInt> {
  static constexpr char kLetter = 'I';
  static c10::SymInt Read(const Given& given, size_t i) { return Reader<int64_t>::Read(given, i); }
};

template <>
struct Reader<std::optional<c10::SymInt>> {
  static constexpr char kLetter = 'J';
  static std::optional<c10::SymInt> Read(const Given& given, size_t i) {
    const auto* value = given.Absent(i);
    if (value != nullptr && value->isNone()) return std::nullopt;
    return Reader<c10::SymInt>::Read(given, i);
  }
};

template <>
struct Reader<double> {
  static constexpr char kLetter = 'F';
  static double Read(const Given& given, size_t i) {
    if (const auto* value = given.Absent(i)) return value->toDouble();
    return ToDouble(given.env(), given[i], given.name(i));
  }
};

template <>
struct Reader<bool> {
  static constexpr char kLetter = 'B';
  static bool Read(const Given& given, size_t i) {
    if (const auto* value = given.Absent(i)) return value->toBool();
    return ToBool(given.env(), given[i], given.name(i));
  }
};

template <>
struct Reader<std::string_view> {
  static constexpr char kLetter = 'C';
  static std::string Read(const Given& given, size_t i) {
    if (const auto* value = given.Absent(i)) return value->toStringRef();
    return ToString(given.env(), given[i], given.name(i));
  }
};

template <>
struct Reader<std::optional<at::ScalarType>> {
  static constexpr char kLetter = 'D';
  static std::optional<at::ScalarType> Read(const Given& given, size_t i) {
    const auto* value = given.Absent(i);
    if (value == nullptr) return ToScalarType(given.env(), given[i], given.name(i));
    return value->isNone() ? std::nullopt : std::optional(value->toScalarType());
  }
};

template <>
struct Reader<at::IntArrayRef> {
  static constexpr char kLetter = 'l';
  static Ints Read(const Given& given, size_t i) {
    const auto* value = given.Absent(i);
    if (value == nullptr) return given.IntList(i);
    const auto list = value->toIntVector();
    return Ints(list.begin(), list.end());
  }
};

template <>
struct Reader<c10::SymIntArrayRef> {
  static constexpr char kLetter = 'L';
  static Ints Read(const Given& given, size_t i) { return Reader<at::IntArrayRef>::Read(given, i); }
};

template <>
struct Reader<at::OptionalIntArrayRef> {
  static constexpr char kLetter = 'm';
  static std::optional<Ints> Read(const Given& given, size_t i) {
    const auto* value = given.Absent(i);
    if (value != nullptr && value->isNone()) return std::nullopt;
    return Reader<at::IntArrayRef>::Read(given, i);
  }
};

char LetterOf(const Parameter& parameter) {
  switch (parameter.kind) {
    case Kind::kTensor:
      return parameter.written ? 'W' : parameter.optional ? 't' : 'T';
    case Kind::kScalar:
      return parameter.optional ? 0 : 'S';
    case Kind::kInt:
      return parameter.symbolic ? (parameter.optional ? 'J' : 'I') : (parameter.optional ? 0 : 'i');
    case Kind::kFloat:
      return parameter.optional ? 0 : 'F';
    case Kind::kBool:
      return parameter.optional ? 0 : 'B';
    case Kind::kString:
      return parameter.optional ? 0 : 'C';
    case Kind::kDtype:
      return parameter.optional ? 'D' : 0;
    case Kind::kIntList:
      return parameter.symbolic ? (parameter.optional ? 0 : 'L') : (parameter.optional ? 'm' : 'l');
    default:
      return 0;
  }
}

// ---- calls -------------------------------------------------------------------------------------------------------------------

// From how a value is held while the call runs to what the kernel takes.
template <typename T, typename Held>
T Pass(Held& held) {
  if constexpr (std::is_same_v<T, c10::SymIntArrayRef>) {
    return c10::fromIntArrayRefSlow(held);
  } else if constexpr (std::is_same_v<T, at::OptionalIntArrayRef>) {
    return held ? at::OptionalIntArrayRef(at::IntArrayRef(*held)) : at::OptionalIntArrayRef();
  } else if constexpr (std::is_reference_v<T>) {
    return held;
  } else {
    return T(held);
  }
}

template <typename Signature>
class Typed;

template <typename Result, typename... Args>
class Typed<Result(Args...)> final : public TypedCall {
 public:
  explicit Typed(const c10::OperatorHandle& handle) : handle_(handle.typed<Result(Args...)>()) {}

  at::Tensor operator()(const Given& given) const override { return Run(given, std::index_sequence_for<Args...>()); }

  static std::string Form() { return {Reader<Args>::kLetter...}; }

 private:
  template <size_t... I>
  at::Tensor Run(const Given& given, std::index_sequence<I...>) const {
    std::tuple<decltype(Reader<Args>::Read(given, I))...> held{Reader<Args>::Read(given, I)...};  // in braces: left to right
    return handle_.call(Pass<Args>(std::get<I>(held))...);
  }

  c10::TypedOperatorHandle<Result(Args...)> handle_;
};

using Factory = std::unique_ptr<TypedCall> (*)(const c10::OperatorHandle&);

template <typename... Signatures>
std::unordered_map<std::string, Factory> Forms() {
  return {{Typed<Signatures>::Form(), [](const c10::OperatorHandle& handle) -> std::unique_ptr<TypedCall> {
             return std::make_unique<Typed<Signatures>>(handle);
           }}...};
}

using T = const at::Tensor&;
using OptionalT = const std::optional<at::Tensor>&;
using W = at::Tensor&;
using S = const at::Scalar&;
using Dtype = std::optional<at::ScalarType>;
using SymInt = c10::SymInt;
using Sizes = c10::SymIntArrayRef;

}  // namespace

std::unique_ptr<TypedCall> FindTypedCall(const Operator& op) {
  static const auto forms = Forms<at::Tensor(T),                                        // exp
                                  at::Tensor(T, T),                                     // mul.Tensor, matmul
                                  at::Tensor(T, T, S),                                  // add.Tensor
                                  at::Tensor(T, S),                                     // mul.Scalar
                                  at::Tensor(T, S, S),                                  // add.Scalar
                                  at::Tensor(T, T, T),                                  // where.self
                                  at::Tensor(T, T, OptionalT),                          // linear
                                  at::Tensor(T, Dtype),                                 // sum
                                  at::Tensor(T, at::OptionalIntArrayRef, bool, Dtype),  // sum.dim_IntList
                                  at::Tensor(T, at::IntArrayRef, bool),                 // amax
                                  at::Tensor(T, int64_t, Dtype),                        // softmax.int
                                  at::Tensor(T, Sizes),                                 // view
                                  at::Tensor(T, Sizes, bool),                           // expand
                                  at::Tensor(T, at::IntArrayRef),                       // permute
                                  at::Tensor(T, int64_t),                               // unsqueeze
                                  at::Tensor(T, int64_t, int64_t),                      // transpose.int
                                  at::Tensor(T, int64_t, SymInt),                       // select.int
                                  at::Tensor(T, int64_t, SymInt, SymInt),               // narrow
                                  at::Tensor(T, int64_t, std::optional<SymInt>, std::optional<SymInt>, SymInt),  // slice.Tensor
                                  at::Tensor(T, int64_t, T),                                                     // index_select
                                  at::Tensor(T, T, SymInt, bool, bool),                                          // embedding
                                  at::Tensor(T, Sizes, OptionalT, OptionalT, double, bool),                      // layer_norm
                                  at::Tensor(T, std::string_view),                                               // gelu
                                  at::Tensor(T, double, bool),                                                   // dropout
                                  at::Tensor&(W),                                                                // zero_
                                  at::Tensor&(W, T),                                                             // mul_.Tensor
                                  at::Tensor&(W, S),                                                             // mul_.Scalar
                                  at::Tensor&(W, T, S),                                                          // add_.Tensor
                                  at::Tensor&(W, S, S),                                                          // add_.Scalar
                                  at::Tensor&(W, T, bool)>();                                                    // copy_
  const auto& returns = op.handle.schema().returns();
  if (returns.size() != 1 || returns[0].type()->kind() != c10::TypeKind::TensorType) return nullptr;
  std::string form;
  for (const auto& parameter : op.parameters) form += LetterOf(parameter);
  const auto found = forms.find(form);
  if (found == forms.end()) return nullptr;
  try {
    return found->second(op.handle);
  } catch (const c10::Error&) {  // its C++ signature is not the one that its schema suggests
    return nullptr;
  }
}

}  // namespace blip2
