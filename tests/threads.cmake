# What tests/run --tsan runs under the thread sanitizer.
foreach(name unit_queue unit_coordinator unit_coordinator_stops fault_kill
    unit_objects unit_segment unit_nonce unit_partial unit_pool unit_rates unit_links
    unit_limiter unit_gate unit_http)
  set_property(TEST ${name} APPEND PROPERTY LABELS threads)
endforeach()
