#include "given.h"

namespace blip2 {

Ints Given::IntList(size_t i) const {
  Ints list;
  const auto& parameter = op.parameters[i];
  if (spread && i == op.list) {
    for (size_t k = i; k < count; ++k) list.push_back(ToInt64(env(), values[k], name(i)));
    return list;
  }
  if (parameter.expand > 0) {
    napi_valuetype type;
    napi_typeof(env(), values[i], &type);
    if (type == napi_number) {
      list.assign(parameter.expand, ToInt64(env(), values[i], name(i)));
      return list;
    }
  }
  ForEachElement(env(), values[i], name(i), "an array of integers",
                 [&](napi_value element, uint32_t) { list.push_back(ToInt64(env(), element, name(i))); });
  return list;
}

}  // namespace blip2
