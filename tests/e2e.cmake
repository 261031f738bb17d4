# The real programs, over TLS on the loopback interface.
set(PF_E2E_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_data pf_codec pf_formats
  pf_proto pf_client)
set(PF_E2E_CHECK check/proc.c check/testdaemon.c check/testdevice.c
  check/tmpdir.c)

# pf_e2e(NAME SOURCES ...): TIMEOUT is far above what each takes, for machines
# that are busy.
function(pf_e2e name)
  pf_test(${name} LABEL e2e TIMEOUT 300 SOURCES ${ARGN} ${PF_E2E_CHECK}
    ROOMS ${PF_E2E_ROOMS})
  add_dependencies(${name} pocketfedd pocketfed-cli)
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77)
endfunction()

pf_e2e(e2e_federation e2e/federation.c)
foreach(part trust update)
  pf_e2e(e2e_refusals_${part} e2e/refusals_${part}.c e2e/world.c
    check/rawhttp.c check/crafted.c)
endforeach()
pf_e2e(e2e_interruptions e2e/interruptions.c e2e/world.c check/rawhttp.c
  check/crafted.c)
