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
