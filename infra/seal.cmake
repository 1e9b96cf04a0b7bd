# For building Pyfhel's copy of SEAL without network and without Debian packages; given as CMAKE_TOOLCHAIN_FILE.
# GSL only checks bounds at run time; zlib and Zstandard only compress what is serialized.
foreach(feature SEAL_BUILD_DEPS SEAL_USE_MSGSL SEAL_USE_ZLIB SEAL_USE_ZSTD)
  set(${feature} OFF CACHE BOOL "" FORCE)
endforeach()
