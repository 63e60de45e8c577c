#include "schema.h"

#include <algorithm>

#include "typed.h"

namespace blip2 {

namespace {

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
      throw std::runtime_error("takes an argument " + argument + " of type " + type->repr_str() +
                               ", which JavaScript has no form for");
  }
}

Kind ListKind(const c10::TypePtr& element, const std::string& argument) {
  if (auto optional = element->cast<c10::OptionalType>()) {
    if (optional->getElementType()->kind() == c10::TypeKind::TensorType) return Kind::kOptionalTensorList;
    if (optional->getElementType()->kind() == c10::TypeKind::NumberType) return Kind::kOptionalScalarList;
  } else {
    switch (ElementKind(element, argument)) {
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
        break;
    }
  }
  throw std::runtime_error("takes a list " + argument + " of " + element->repr_str() + ", which JavaScript has no form for");
}

// Refuses what ToJs could not give back, before anything is called.
void CheckReturn(const c10::TypePtr& type) {
  if (auto list = type->cast<c10::ListType>()) return CheckReturn(list->getElementType());
  if (auto optional = type->cast<c10::OptionalType>()) return CheckReturn(optional->getElementType());
  switch (type->kind()) {
    case c10::TypeKind::TensorType:
    case c10::TypeKind::NumberType:
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
    case c10::TypeKind::FloatType:
    case c10::TypeKind::SymFloatType:
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType:
    case c10::TypeKind::StringType:
    case c10::TypeKind::DeviceObjType:
    case c10::TypeKind::GeneratorType:
    case c10::TypeKind::NoneType:
    case c10::TypeKind::ScalarTypeType:
    case c10::TypeKind::LayoutType:
      return;
    default:
      throw std::runtime_error("returns a " + type->repr_str() + ", which JavaScript has no form for");
  }
}

}  // namespace

Parameter::Parameter(const c10::Argument& argument) : name(argument.name()), has_default(argument.default_value().has_value()) {
  c10::TypePtr type = argument.real_type();
  if (auto optional = type->cast<c10::OptionalType>()) {
    this->optional = true;
    type = optional->getElementType();
  }
  if (auto list = type->cast<c10::ListType>()) {
    type = list->getElementType();
    kind = ListKind(type, name);
    expand = argument.N().value_or(0);
  } else {
    kind = ElementKind(type, name);
  }
  symbolic = type->kind() == c10::TypeKind::SymIntType;
  written = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
  if (has_default) default_value = *argument.default_value();
}

Operator::Operator(std::string name_, const c10::OperatorHandle& handle_) : name(std::move(name_)), handle(handle_) {
  for (const auto& argument : handle.schema().arguments()) parameters.emplace_back(argument);
  for (const auto& result : handle.schema().returns()) CheckReturn(result.type());
  const auto is_list = [](const Parameter& parameter) { return parameter.kind == Kind::kIntList; };
  list = std::find_if(parameters.begin(), parameters.end(), is_list) - parameters.begin();
  typed = FindTypedCall(*this);
}

Operator::~Operator() = default;

}  // namespace blip2
