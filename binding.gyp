{
  "variables": {
    "sources": ["native/addon.cc"],
    "libtorch%": "<!(node -p \"process.env.BLIP2_LIBTORCH || ''\")"
  },
  "targets": []
}
