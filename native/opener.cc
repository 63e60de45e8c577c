// A second addon without libtorch: opens shared libraries by path and for everybody, so that the first one finds libtorch already
// loaded wherever it lives, without a path baked into it, and libtorch_cuda is there before the first question about CUDA.
#include <dlfcn.h>
#include <napi.h>

// MKL, inside libtorch, asks this whether the processor is Intel's, and elsewhere runs slower kernels than the instruction sets
// allow. Loaded for everybody before libtorch, this answer goes before MKL's own; loaded the usual way, nobody sees it. MKL still
// asks the processor itself which instructions it has.
extern "C" __attribute__((visibility("default"))) int mkl_serv_intel_cpu_true() { return 1; }

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
