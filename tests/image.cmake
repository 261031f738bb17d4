# One file of the cli room, without its main().
set(PF_IMAGE_SOURCE ${CMAKE_SOURCE_DIR}/client/cli/image.c)
pf_test(unit_image LABEL unit
  SOURCES unit/test_image.c check/tmpdir.c ${PF_IMAGE_SOURCE}
  ROOMS pf_base LIBS PNG::PNG)
pf_fuzz(fuzz_image SOURCES fuzz/fuzz_image.c ${PF_IMAGE_SOURCE}
  ROOMS pf_base LIBS PNG::PNG CORPUS image)
foreach(target unit_image fuzz_image)
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/client/cli)
endforeach()
