# What the program says without a daemon.
pf_test(unit_cli LABEL unit SOURCES unit/test_cli.c check/proc.c check/tmpdir.c
  ROOMS pf_base pf_crypto pf_kernels pf_nn pf_proto)
add_dependencies(unit_cli pocketfed-cli)
