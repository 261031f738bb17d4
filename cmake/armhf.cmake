# Debian's cross compiler for armhf; deploy/sysroot armhf build/sysroot/armhf brings
# the libraries. qemu-user runs what is built.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7l)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE arm-linux-gnueabihf)
get_filename_component(PF_SYSROOT "${CMAKE_CURRENT_LIST_DIR}/../build/sysroot/armhf" ABSOLUTE)
set(CMAKE_FIND_ROOT_PATH ${PF_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${PF_SYSROOT}/usr/lib/arm-linux-gnueabihf/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${PF_SYSROOT})
# What these libraries need themselves is not in the folder.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,--allow-shlib-undefined,--unresolved-symbols=ignore-in-shared-libs")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "${CMAKE_EXE_LINKER_FLAGS_INIT}")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-arm -L /usr/arm-linux-gnueabihf
  -E LD_LIBRARY_PATH=${PF_SYSROOT}/usr/lib/arm-linux-gnueabihf)
set(CMAKE_C_FLAGS_INIT "-isystem ${PF_SYSROOT}/usr/include/arm-linux-gnueabihf")
