#include "buffers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct engine e;

int buffers_set_up(void **state)
{
    engine_set_up(state);
    engine_async(*state);
    return 0;
}

/* ---- words of the story ---------------------------------------------------
 */

void is_assigned(unsigned device, uint64_t round, uint8_t base)
{
    assert_true(engine_assigned(&e, device));
    assert_int_equal(e.answer.u.checkin.round, round);
    assert_int_equal(e.answer.u.checkin.base[0], base);
}

void is_counted(unsigned device, uint64_t assigned, uint64_t counted,
                uint32_t staleness)
{
    const struct pf_record *rec;

    assert_int_equal(engine_update(&e, device, assigned, 1)->kind,
                     PF_ANSWER_ACK);
    assert_int_equal(e.answer.again, 0);
    assert_int_equal(e.answer.u.ack.round, assigned);
    assert_int_equal(e.answer.u.ack.counted, counted);
    rec = engine_record(&e, PF_REC_ACCEPTED);
    assert_non_null(rec);
    assert_int_equal(rec->round, counted);
    assert_int_equal(rec->u.accepted.assigned, assigned);
    assert_int_equal(rec->u.accepted.staleness, staleness);
    assert_memory_equal(rec->u.accepted.base, e.answer.u.ack.base, 32);
    assert_int_equal(engine_effect(&e, PF_EFFECT_FOLD)->round, counted);
    assert_true(engine_effect(&e, PF_EFFECT_FOLD)->u.fold.factor ==
                pf_staleness_factor(staleness));
}

void closes(uint64_t round, unsigned one, unsigned other)
{
    assert_true(engine_assigned(&e, one));
    assert_true(engine_assigned(&e, other));
    engine_update(&e, one, round, 1);
    engine_update(&e, other, round, 1);
    assert_int_equal(engine_records(&e, PF_REC_CLOSED), 1);
    assert_int_equal(engine_effect(&e, PF_EFFECT_FINISH)->round, round);
}

void publishes(uint64_t round, unsigned one, unsigned other)
{
    closes(round, one, other);
    engine_finished(&e, round);
    assert_int_equal(engine_records(&e, PF_REC_PUBLISHED), 1);
    assert_int_equal(engine_effect(&e, PF_EFFECT_DROP)->round, round);
}

void opened(uint64_t round, uint8_t base)
{
    assert_int_equal(engine_records(&e, PF_REC_OPENED), 1);
    assert_int_equal(engine_record(&e, PF_REC_OPENED)->round, round);
    assert_int_equal(engine_record(&e, PF_REC_OPENED)->u.opened.base[0], base);
    assert_string_equal(engine_status(&e).phase, "collecting");
}

void is_abandoned(unsigned which, uint64_t round, const char *reason)
{
    const struct pf_record *rec = &e.step.record[which];

    assert_int_equal(rec->kind, PF_REC_ABANDONED);
    assert_int_equal(rec->round, round);
    assert_string_equal(rec->u.abandoned.reason, reason);
}
