// A second addon without libtorch: opens shared libraries by path and for everybody, so that the first one finds libtorch already
// loaded wherever it lives, without a path baked into it, and libtorch_cuda is there before the first question about CUDA.
#include <dlfcn.h>
#include <napi.h>

// open(path) → null, or what kept the library away
static Napi::Value Open(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return info.Env().Null();
  const char* reason = dlerror();
  return Napi::String::New(info.Env(), reason != nullptr ? reason : "unknown reason");
}

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("open", Napi::Function::New(env, Open));
  return exports;
}

NODE_API_MODULE(opener, Init)
