# client: the participation, the handle, requests, storage, transports.
set(PF_CLIENT_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_codec pf_formats
  pf_proto pf_client)
foreach(module participation persistence)
  pf_test(unit_${module} LABEL unit
    SOURCES unit/test_${module}.c check/memberside.c check/fakeserver.c
    ROOMS ${PF_CLIENT_ROOMS})
endforeach()
