# Torch as kaldifeat and fast_rnnt see it while they build.
#
# The configuration inside a CUDA build of torch refuses to load where no CUDA toolkit is installed, although neither
# package has CUDA code that we build. This one asks Python for what is needed to compile and link on the CPU side.

execute_process(
  COMMAND "${PYTHON_EXECUTABLE}" -c "
import os, torch
from torch.utils.cpp_extension import include_paths
print(os.path.join(os.path.dirname(torch.__file__), 'lib'))
print(int(torch._C._GLIBCXX_USE_CXX11_ABI))
print(';'.join(path for path in include_paths() if os.path.isdir(path)))
"
  OUTPUT_VARIABLE _torch
  OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY
)
string(REGEX MATCH "^([^\n]+)\n([01])\n([^\n]+)$" _torch "${_torch}")
set(_torch_lib "${CMAKE_MATCH_1}")
set(_torch_abi "${CMAKE_MATCH_2}")
set(TORCH_INCLUDE_DIRS "${CMAKE_MATCH_3}")

find_library(TORCH_LIBRARY torch PATHS "${_torch_lib}" NO_DEFAULT_PATH REQUIRED)
find_library(TORCH_CPU_LIBRARY torch_cpu PATHS "${_torch_lib}" NO_DEFAULT_PATH REQUIRED)
find_library(C10_LIBRARY c10 PATHS "${_torch_lib}" NO_DEFAULT_PATH REQUIRED)

# A caller adds these flags to its own, so that its strings have the layout of torch's.
set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI=${_torch_abi}")
set(TORCH_LIBRARIES torch)
set(TORCH_FOUND TRUE)
set(Torch_FOUND TRUE)

if(NOT TARGET torch)
  add_library(torch INTERFACE IMPORTED GLOBAL)
  set_target_properties(torch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${TORCH_INCLUDE_DIRS}"
    INTERFACE_LINK_LIBRARIES "${TORCH_CPU_LIBRARY};${C10_LIBRARY};${TORCH_LIBRARY}"
  )
endif()
