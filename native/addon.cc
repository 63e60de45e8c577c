// Registers what the other files define, once for every Node environment (the main thread and each worker).
#include <dlfcn.h>
#include <napi.h>

#include "allocator.h"
#include "autograd.h"
#include "device.h"
#include "dispatch.h"
#include "handles.h"
#include "random.h"
#include "storage.h"

// Node closes an addon with the last worker that loaded it, while libtorch goes on holding pointers to functions in here.
static void StayLoaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&StayLoaded), &self) != 0) dlopen(self.dli_fname, RTLD_LAZY | RTLD_NODELETE | RTLD_NOLOAD);
}

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  StayLoaded();
  blip2::InstallAllocator();
  auto* environment = new blip2::Environment(env);
  napi_set_instance_data(
      env, environment, [](napi_env, void* data, void*) { delete static_cast<blip2::Environment*>(data); }, nullptr);
  blip2::RegisterHandles(env, exports);
  blip2::RegisterDispatch(env, exports);
  blip2::RegisterAutograd(env, exports);
  blip2::RegisterStorage(env, exports);
  blip2::RegisterRandom(env, exports);
  blip2::RegisterDevice(env, exports);
  return exports;
}

NODE_API_MODULE(blip2, Init)
