# find_package(rustorch) -> the target rustorch::rustorch. Paths are relative to this file.
get_filename_component(_rustorch_prefix "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
if(NOT TARGET rustorch::rustorch)
  add_library(rustorch::rustorch SHARED IMPORTED)
  if(WIN32)
    set(_rustorch_file "rustorch.dll")
    set_target_properties(rustorch::rustorch PROPERTIES IMPORTED_IMPLIB "${_rustorch_prefix}/lib/rustorch.dll.lib")
  elseif(APPLE)
    set(_rustorch_file "librustorch.dylib")
  else()
    set(_rustorch_file "librustorch.so")
    set_target_properties(rustorch::rustorch PROPERTIES IMPORTED_SONAME "librustorch.so")
  endif()
  set_target_properties(rustorch::rustorch PROPERTIES
    IMPORTED_LOCATION "${_rustorch_prefix}/lib/${_rustorch_file}"
    INTERFACE_INCLUDE_DIRECTORIES "${_rustorch_prefix}/include")
endif()
set(rustorch_FOUND TRUE)
