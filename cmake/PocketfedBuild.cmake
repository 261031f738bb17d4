# pf_build carries the warnings, sanitizers and hardening of every target of
# this project and of none that is installed.  pf_room() declares a room.

add_library(pf_build INTERFACE)
target_compile_definitions(pf_build INTERFACE
  _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE _FILE_OFFSET_BITS=64 POCKETFED_VERSION="${PROJECT_VERSION}")
target_compile_options(pf_build INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
  -Wmissing-prototypes -Wvla -Wundef -Wformat=2 -Wdouble-promotion
  -Wcast-qual -Wpointer-arith -Wwrite-strings
  -ffp-contract=off           # bits must not depend on the compiler's mood
  -fno-math-errno             # sqrt is one instruction, not a call
  -ffunction-sections -fdata-sections)
target_link_options(pf_build INTERFACE -Wl,--gc-sections)
if(POCKETFED_WERROR)
  target_compile_options(pf_build INTERFACE -Werror)
endif()
if(POCKETFED_SANITIZE)
  target_compile_options(pf_build INTERFACE
    -fsanitize=${POCKETFED_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(pf_build INTERFACE -fsanitize=${POCKETFED_SANITIZE})
else()
  target_compile_options(pf_build INTERFACE -fstack-protector-strong)
  target_compile_options(pf_build INTERFACE
    $<$<CONFIG:Release>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
  target_link_options(pf_build INTERFACE -Wl,-z,relro,-z,now)
endif()
if(POCKETFED_FUZZ)
  target_compile_options(pf_build INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(POCKETFED_COVERAGE)
  target_compile_options(pf_build INTERFACE --coverage)
  target_link_options(pf_build INTERFACE --coverage)
endif()

# pf_room(NAME [SMALL] SOURCES a.c ... ROOMS pf_x ... LIBS lib ...)
#
# A room is one flat folder, one OBJECT library pf_NAME and one include
# directory.  ROOMS are the rooms it may include, LIBS the outside libraries
# it is allowed to use.  Whoever links the room gets its objects and all that
# they need.  SMALL: it travels inside apps and has no loop over parameters, so
# a release of it is small before it is fast.
function(pf_room name)
  cmake_parse_arguments(R "SMALL" "" "SOURCES;ROOMS;LIBS" ${ARGN})
  add_library(pf_${name} OBJECT ${R_SOURCES})
  if(R_SMALL)
    target_compile_options(pf_${name} PRIVATE $<$<CONFIG:Release>:-Os>)
  endif()
  target_include_directories(pf_${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(pf_${name} PRIVATE pf_build)
  foreach(room IN LISTS R_ROOMS)
    # Headers only: objects are gathered once, by the program that names them.
    target_include_directories(pf_${name} PUBLIC
      $<TARGET_PROPERTY:${room},INTERFACE_INCLUDE_DIRECTORIES>)
  endforeach()
  target_link_libraries(pf_${name} PRIVATE ${R_LIBS})
  set_property(TARGET pf_${name} PROPERTY PF_LIBS ${R_LIBS})
endfunction()

# pf_use_rooms(TARGET SCOPE ROOM...): a program or library names the rooms it
# contains; that list is the documentation of what is in it.
function(pf_use_rooms target)
  foreach(room IN LISTS ARGN)
    # PF_PARTS: objects of the room that are compiled with flags of their own;
    # the target's PF_LEAVES_OUT are those it does without.
    get_property(parts TARGET ${room} PROPERTY PF_PARTS)
    get_property(without TARGET ${target} PROPERTY PF_LEAVES_OUT)
    list(REMOVE_ITEM parts "" ${without})
    foreach(part IN ITEMS ${room} ${parts})
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${part}>)
    endforeach()
    target_include_directories(${target} PRIVATE
      $<TARGET_PROPERTY:${room},INTERFACE_INCLUDE_DIRECTORIES>)
    get_property(libs TARGET ${room} PROPERTY PF_LIBS)
    target_link_libraries(${target} PRIVATE ${libs})
  endforeach()
  # Not a part of what is installed.
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:pf_build>)
endfunction()
