# common/crypto
pf_test(unit_hash LABEL unit SOURCES unit/test_hash.c ROOMS pf_base pf_crypto)
pf_test(unit_key LABEL unit SOURCES unit/test_key.c check/tmpdir.c
        ROOMS pf_base pf_crypto)
pf_test(unit_sodium LABEL unit SOURCES unit/test_sodium.c
        ROOMS pf_base pf_crypto pf_sodium)
pf_test(unit_cert LABEL unit SOURCES unit/test_cert.c ROOMS pf_base pf_crypto)
