#include "random.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "convert.h"
#include "handles.h"

namespace blip2 {

namespace {

uint64_t ToSeed(napi_env env, napi_value value) {
  bool lossless = false;
  uint64_t seed = 0;
  napi_valuetype type;
  napi_typeof(env, value, &type);
  if (type == napi_bigint && napi_get_value_bigint_uint64(env, value, &seed, &lossless) == napi_ok && lossless) return seed;
  return static_cast<uint64_t>(ToInt64(env, value, "seed"));
}

// createGenerator(device) → a generator, not yet seeded
napi_value CreateGenerator(napi_env env, napi_callback_info info) {
  return Guard(env, "createGenerator", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const auto device = ToDevice(env, args[0], "device");
    at::Generator generator =
        device.is_cpu() ? at::make_generator<at::CPUGeneratorImpl>()
                        : at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
    return ToJs(env, EnvironmentOf(env).generators.Put(std::move(generator)));
  });
}

// The generator that operators use when they are given none. It belongs to the process: worker threads share it.
napi_value DefaultGenerator(napi_env env, napi_callback_info info) {
  return Guard(env, "defaultGenerator", [&]() -> napi_value {
    Arguments args(env, info, 1);
    return ToJs(env, EnvironmentOf(env).generators.Put(at::globalContext().defaultGenerator(ToDevice(env, args[0], "device"))));
  });
}

napi_value FreeGenerator(napi_env env, napi_callback_info info) {
  return Guard(env, "freeGenerator", [&]() -> napi_value {
    Arguments args(env, info, 1);
    EnvironmentOf(env).generators.Take(args.Int32(0, "generator"));
    return nullptr;
  });
}

at::Generator& GeneratorOf(napi_env env, const Arguments& args) {
  return EnvironmentOf(env).generators.Get(args.Int32(0, "generator"), "generator");
}

napi_value SetSeed(napi_env env, napi_callback_info info) {
  return Guard(env, "manualSeed", [&]() -> napi_value {
    Arguments args(env, info, 2);
    at::Generator& generator = GeneratorOf(env, args);
    const uint64_t seed = ToSeed(env, args[1]);
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_current_seed(seed);
    return nullptr;
  });
}

// getState(generator) → a uint8 tensor, the same bytes as torch.Generator.get_state()
napi_value GetState(napi_env env, napi_callback_info info) {
  return Guard(env, "getState", [&]() -> napi_value {
    Arguments args(env, info, 1);
    at::Generator& generator = GeneratorOf(env, args);
    std::lock_guard<std::mutex> lock(generator.mutex());
    return ToJs(env, EnvironmentOf(env).PutTensor(generator.get_state()));
  });
}

napi_value SetState(napi_env env, napi_callback_info info) {
  return Guard(env, "setState", [&]() -> napi_value {
    Arguments args(env, info, 2);
    at::Generator& generator = GeneratorOf(env, args);
    const at::Tensor state = args.Tensor(1, "state");
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(state);
    return nullptr;
  });
}

}  // namespace

void RegisterRandom(napi_env env, napi_value exports) {
  Export(env, exports, "createGenerator", CreateGenerator);
  Export(env, exports, "defaultGenerator", DefaultGenerator);
  Export(env, exports, "freeGenerator", FreeGenerator);
  Export(env, exports, "setSeed", SetSeed);
  Export(env, exports, "getState", GetState);
  Export(env, exports, "setState", SetState);
}

}  // namespace blip2
