#include "storage.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "convert.h"
#include "handles.h"

namespace blip2 {

/// A file mapped privately: what is written to its tensors changes memory, never the file. Unmapped with its last tensor.
struct Mapping {
  ~Mapping() {
    if (size > 0) munmap(data, size);
  }
  char* data = nullptr;
  size_t size = 0;
};

namespace {

struct View {
  char* data = nullptr;
  size_t bytes = 0;
  napi_value buffer = nullptr;
};

// The bytes of a typed array, DataView (a Node Buffer is a Uint8Array) or ArrayBuffer.
View ViewOf(napi_env env, napi_value value, const char* argument) {
  View view;
  void* data = nullptr;
  bool is = false;
  if (napi_is_typedarray(env, value, &is) == napi_ok && is) {
    napi_typedarray_type type;
    size_t length = 0;
    napi_get_typedarray_info(env, value, &type, &length, &data, &view.buffer, nullptr);
    size_t width = 1;
    switch (type) {
      case napi_int16_array:
      case napi_uint16_array:
        width = 2;
        break;
      case napi_int32_array:
      case napi_uint32_array:
      case napi_float32_array:
        width = 4;
        break;
      case napi_float64_array:
      case napi_bigint64_array:
      case napi_biguint64_array:
        width = 8;
        break;
      default:
        break;
    }
    view.bytes = length * width;
  } else if (napi_is_arraybuffer(env, value, &is) == napi_ok && is) {
    napi_get_arraybuffer_info(env, value, &data, &view.bytes);
    view.buffer = value;
  } else {
    throw ArgumentError(argument, "a typed array or an ArrayBuffer", Describe(env, value));
  }
  view.data = static_cast<char*>(data);
  return view;
}

// The number of bytes that a shape takes, with every product checked.
size_t BytesOf(const std::vector<int64_t>& shape, c10::ScalarType dtype, const char* argument) {
  size_t bytes = c10::elementSize(dtype);
  for (const int64_t size : shape) {
    if (size < 0) throw ArgumentError(argument, "sizes of at least 0", std::to_string(size));
    if (__builtin_mul_overflow(bytes, static_cast<size_t>(size), &bytes))
      throw ArgumentError(argument, "a shape that fits memory", "one that does not");
  }
  return bytes;
}

void ExpectBytes(const View& view, size_t bytes) {
  if (view.bytes != bytes) {
    throw ArgumentError("data", std::to_string(bytes) + " bytes, as shape and dtype say", std::to_string(view.bytes) + " bytes");
  }
}

// fromData(view, shape, dtype) → a tensor with a copy of the bytes
napi_value FromData(napi_env env, napi_callback_info info) {
  return Guard(env, "fromData", [&]() -> napi_value {
    Arguments args(env, info, 3);
    const View view = ViewOf(env, args[0], "data");
    const auto shape = ToInt64List(env, args[1], "shape");
    const auto dtype = ToScalarType(env, args[2], "dtype");
    ExpectBytes(view, BytesOf(shape, dtype, "shape"));
    at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(dtype));
    if (view.bytes > 0) std::memcpy(tensor.data_ptr(), view.data, view.bytes);
    return ToJs(env, EnvironmentOf(env).PutTensor(std::move(tensor)));
  });
}

// wrapData(view, shape, dtype, take?) → a tensor over the very bytes; the ArrayBuffer lives as long, and, where taken, no longer
napi_value WrapData(napi_env env, napi_callback_info info) {
  return Guard(env, "wrapData", [&]() -> napi_value {
    Arguments args(env, info, 3);
    auto& environment = EnvironmentOf(env);
    environment.DrainPending();
    const View view = ViewOf(env, args[0], "data");
    const auto shape = ToInt64List(env, args[1], "shape");
    const auto dtype = ToScalarType(env, args[2], "dtype");
    bool take = false;
    napi_get_value_bool(env, args[3], &take);
    ExpectBytes(view, BytesOf(shape, dtype, "shape"));
    if (reinterpret_cast<uintptr_t>(view.data) % c10::elementSize(dtype) != 0) {
      throw ArgumentError("data", "an offset that is a multiple of the element's size", "one that is not");
    }
    napi_ref reference = nullptr;
    if (napi_create_reference(env, view.buffer, 1, &reference) != napi_ok)
      throw std::runtime_error("the ArrayBuffer cannot be referenced");
    auto release = [pending = environment.pending, reference, take](void*) {
      std::lock_guard<std::mutex> lock(pending->mutex);
      if (pending->closed) return;
      pending->references.push_back({reference, take});
      pending->waiting = true;
    };
    at::Tensor tensor = at::from_blob(view.data, shape, std::move(release), at::TensorOptions().dtype(dtype));
    return ToJs(env, environment.PutTensor(std::move(tensor)));
  });
}

// copyTo(tensor, view): the tensor's elements, in row-major order, into the typed array; from any device
napi_value CopyTo(napi_env env, napi_callback_info info) {
  return Guard(env, "copyTo", [&]() -> napi_value {
    Arguments args(env, info, 2);
    const at::Tensor tensor = args.Tensor(0, "tensor");
    const View view = ViewOf(env, args[1], "out");
    const size_t bytes = tensor.numel() * tensor.element_size();
    if (view.bytes != bytes) {
      throw ArgumentError("out", std::to_string(bytes) + " bytes", std::to_string(view.bytes) + " bytes");
    }
    if (bytes == 0) return nullptr;
    // A conjugated or negated view holds the data as they were before.
    const at::Tensor source = tensor.detach().to(at::kCPU).resolve_conj().resolve_neg().contiguous();
    std::memcpy(view.data, source.data_ptr(), bytes);
    return nullptr;
  });
}

// item(tensor) → the one element as a number, BigInt or boolean
napi_value Item(napi_env env, napi_callback_info info) {
  return Guard(env, "item", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const auto& tensor = args.Tensor(0, "tensor");
    if (tensor.numel() != 1) {
      throw ArgumentError("tensor", "one element", std::to_string(tensor.numel()) + " elements");
    }
    const at::Scalar scalar = tensor.item();
    if (scalar.isComplex()) throw ArgumentError("tensor", "a real number; view_as_real gives both parts", "a complex number");
    return ToJs(env, scalar);
  });
}

// setData(tensor, other): the tensor takes over the other's data, dtype and device, and stays the object that optimizers hold
napi_value SetData(napi_env env, napi_callback_info info) {
  return Guard(env, "setData", [&]() -> napi_value {
    Arguments args(env, info, 2);
    auto& environment = EnvironmentOf(env);
    const int32_t handle = args.Int32(0, "tensor");
    at::Tensor& tensor = environment.tensors.Get(handle, "tensor");
    at::Tensor other = args.Tensor(1, "data").detach();
    const bool requires_grad = tensor.requires_grad();
    other.set_requires_grad(requires_grad);
    tensor = std::move(other);
    return nullptr;
  });
}

// mapFile(path) → a mapping
napi_value MapFile(napi_env env, napi_callback_info info) {
  return Guard(env, "mapFile", [&]() -> napi_value {
    Arguments args(env, info, 1);
    const std::string path = ToString(env, args[0], "path");
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) throw ArgumentError("path", "a readable file", "\"" + path + "\" (" + std::strerror(errno) + ")", "ERR_FILE");
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
      close(file);
      throw ArgumentError("path", "a regular file", "\"" + path + "\"", "ERR_FILE");
    }
    auto mapping = std::make_shared<Mapping>();
    const size_t size = static_cast<size_t>(status.st_size);
    if (size > 0) {
      void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
      if (data == MAP_FAILED) {
        const std::string reason = std::strerror(errno);
        close(file);
        throw ArgumentError("path", "a file that can be mapped", "\"" + path + "\" (" + reason + ")", "ERR_FILE");
      }
      mapping->data = static_cast<char*>(data);
      mapping->size = size;
    }
    close(file);
    return ToJs(env, EnvironmentOf(env).mappings.Put(std::move(mapping)));
  });
}

napi_value Unmap(napi_env env, napi_callback_info info) {
  return Guard(env, "unmap", [&]() -> napi_value {
    Arguments args(env, info, 1);
    EnvironmentOf(env).mappings.Take(args.Int32(0, "mapping"));  // its tensors keep the pages for as long as they live
    return nullptr;
  });
}

struct Range {
  char* data;
  size_t bytes;
};

Range RangeOf(const Mapping& mapping, int64_t offset, int64_t bytes) {
  if (offset < 0 || bytes < 0 || static_cast<size_t>(offset) > mapping.size ||
      static_cast<size_t>(bytes) > mapping.size - static_cast<size_t>(offset)) {
    throw ArgumentError("offset", "a range inside the file's " + std::to_string(mapping.size) + " bytes",
                        std::to_string(offset) + " and " + std::to_string(bytes) + " bytes from there");
  }
  return {mapping.data + offset, static_cast<size_t>(bytes)};
}

// mappedTensor(mapping, offset, shape, dtype) → a tensor over the file's pages; a copy where the offset does not fit the dtype
napi_value MappedTensor(napi_env env, napi_callback_info info) {
  return Guard(env, "mappedTensor", [&]() -> napi_value {
    Arguments args(env, info, 4);
    auto& environment = EnvironmentOf(env);
    const auto mapping = environment.mappings.Get(args.Int32(0, "mapping"), "mapping");
    const int64_t offset = ToInt64(env, args[1], "offset");
    const auto shape = ToInt64List(env, args[2], "shape");
    const auto dtype = ToScalarType(env, args[3], "dtype");
    const size_t bytes = BytesOf(shape, dtype, "shape");
    const Range range = RangeOf(*mapping, offset, static_cast<int64_t>(bytes));
    const auto options = at::TensorOptions().dtype(dtype);
    at::Tensor tensor;
    if (bytes == 0) {
      tensor = at::empty(shape, options);
    } else if (reinterpret_cast<uintptr_t>(range.data) % c10::elementSize(dtype) == 0) {
      tensor = at::from_blob(
          range.data, shape, [mapping](void*) {}, options);
    } else {
      tensor = at::empty(shape, options);
      std::memcpy(tensor.data_ptr(), range.data, bytes);
    }
    return ToJs(env, environment.PutTensor(std::move(tensor)));
  });
}

// adviseUnused(mapping, offset, bytes): the pages of the range may leave memory; they are read again when they are touched
napi_value AdviseUnused(napi_env env, napi_callback_info info) {
  return Guard(env, "adviseUnused", [&]() -> napi_value {
    Arguments args(env, info, 3);
    const auto mapping = EnvironmentOf(env).mappings.Get(args.Int32(0, "mapping"), "mapping");
    const Range range = RangeOf(*mapping, ToInt64(env, args[1], "offset"), ToInt64(env, args[2], "bytes"));
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<uintptr_t>(range.data) / page * page;
    const auto end = reinterpret_cast<uintptr_t>(range.data) + range.bytes;
    if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    return nullptr;
  });
}

}  // namespace

void RegisterStorage(napi_env env, napi_value exports) {
  Export(env, exports, "fromData", FromData);
  Export(env, exports, "wrapData", WrapData);
  Export(env, exports, "copyTo", CopyTo);
  Export(env, exports, "item", Item);
  Export(env, exports, "setData", SetData);
  Export(env, exports, "mapFile", MapFile);
  Export(env, exports, "unmap", Unmap);
  Export(env, exports, "mappedTensor", MappedTensor);
  Export(env, exports, "adviseUnused", AdviseUnused);
}

}  // namespace blip2
