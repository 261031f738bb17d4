pf_test(unit_idx LABEL unit SOURCES unit/test_idx.c ROOMS pf_base pf_data)
pf_test(unit_partition LABEL unit SOURCES unit/test_partition.c ROOMS pf_base pf_data)
pf_test(property_partition LABEL property SOURCES property/partition.c
  ROOMS pf_base pf_data)
pf_fuzz(fuzz_idx SOURCES fuzz/fuzz_idx.c ROOMS pf_base pf_data CORPUS idx)
