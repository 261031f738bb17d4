# common/base
pf_test(unit_fail LABEL unit SOURCES unit/test_fail.c ROOMS pf_base)
pf_test(unit_buf LABEL unit SOURCES unit/test_buf.c check/guard.c ROOMS pf_base)
pf_test(unit_text LABEL unit SOURCES unit/test_text.c ROOMS pf_base)
pf_test(unit_rng LABEL unit SOURCES unit/test_rng.c ROOMS pf_base LIBS m)
# The C library is the judge of our elementary functions.
pf_test(unit_fmath LABEL unit SOURCES unit/test_fmath.c ROOMS pf_base LIBS m)
pf_test(unit_log LABEL unit SOURCES unit/test_log.c ROOMS pf_base)
pf_test(unit_file LABEL unit SOURCES unit/test_file.c check/tmpdir.c
        ROOMS pf_base)
pf_test(unit_json LABEL unit SOURCES unit/test_json.c check/json_sample.c
        check/guard.c ROOMS pf_base)
pf_test(unit_json_parse LABEL unit SOURCES unit/test_json_parse.c check/guard.c
        ROOMS pf_base)
pf_test(property_json LABEL property SOURCES property/test_json_round_trip.c
        check/json_sample.c ROOMS pf_base)
pf_fuzz(fuzz_json CORPUS json SOURCES fuzz/fuzz_json.c check/json_sample.c
        ROOMS pf_base)
target_include_directories(fuzz_json PRIVATE ${CMAKE_SOURCE_DIR}/tests/check)
