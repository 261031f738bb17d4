# client: the participation, the handle, requests, storage, transports.
set(PF_CLIENT_ROOMS pf_base pf_crypto pf_kernels pf_nn pf_codec pf_formats
  pf_proto pf_client)
foreach(module participation persistence)
  pf_test(unit_${module} LABEL unit
    SOURCES unit/test_${module}.c check/memberside.c check/fakeserver.c
    ROOMS ${PF_CLIENT_ROOMS})
endforeach()
pf_test(unit_request LABEL unit SOURCES unit/test_request.c
  ROOMS ${PF_CLIENT_ROOMS})
pf_test(unit_storage LABEL unit SOURCES unit/test_storage.c check/tmpdir.c
  ROOMS ${PF_CLIENT_ROOMS})
pf_test(unit_client LABEL unit
  SOURCES unit/test_client.c check/appside.c check/fakeserver.c check/tmpdir.c
  ROOMS ${PF_CLIENT_ROOMS})
