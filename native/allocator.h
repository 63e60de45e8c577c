// Memory for small CPU tensors, kept for the next one of the same size.
#pragma once

namespace blip2 {

/// Makes libtorch take small blocks from here. Once a process; harmless to repeat.
void InstallAllocator();

}  // namespace blip2
