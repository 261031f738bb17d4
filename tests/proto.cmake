# proto: what travels.
set(PF_PROTO_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_proto)
foreach(module calls problem joinlink)
  pf_test(unit_${module} LABEL unit SOURCES unit/test_${module}.c
    ROOMS ${PF_PROTO_ROOMS})
endforeach()
pf_test(unit_update LABEL unit SOURCES unit/test_update.c check/guard.c
  ROOMS ${PF_PROTO_ROOMS})
