{
  # The default build. LIBTORCH names a folder with lib/ and include/; nothing of that path ends up in the binary: the loader opens
  # libtorch first. One addon a libtorch version, named by it.
  "variables": {
    "libtorch": "<!(node -p \"process.env.LIBTORCH\")",
    "version": "<!(node native/inputs.mjs version)"
  },
  "target_defaults": {
    "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
    "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS"],
    "cflags!": ["-fno-exceptions"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": ["-std=c++20", "-O3", "-fvisibility=hidden"],
    "xcode_settings": {
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "GCC_ENABLE_CPP_RTTI": "YES",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "MACOSX_DEPLOYMENT_TARGET": "11.0"
    }
  },
  "targets": [
    {
      "target_name": "opener",
      "sources": ["native/opener.cc"]
    },
    {
      "target_name": "blip2",
      "product_name": "blip2-torch-<(version)",
      "sources": ["<!@(node native/inputs.mjs sources)"],
      "include_dirs": ["<(libtorch)/include", "<(libtorch)/include/torch/csrc/api/include"],
      "libraries": ["-L<(libtorch)/lib", "-ltorch_cpu", "-lc10"],
      "conditions": [["OS=='linux'", { "ldflags": ["-Wl,--allow-shlib-undefined"] }]]
    }
  ]
}
