"""Recipes for the answers that are no success: each status that proto/openapi/
promises for an operation is brought about at least once, so that what it looks
like is compared with what is written.
"""
import itertools
import struct

from requests.auth import AuthBase

import device
from contract import OPERATIONS
from device import Signed, update_frame
from recipes import MODEL, OPEN, append, digest_for, parts, recipe

NOWHERE = "0123456789abcdef" * 4
BYTES = bytes(range(192))


class Announced(AuthBase):
    """A body of that length, of which nothing is sent."""

    def __init__(self, length):
        self.length = length

    def __call__(self, request):
        request.headers["Content-Length"] = str(self.length)
        return request


# ---- what many operations have in common ----

def known(world, name, **instead):
    """The path parameters, of what there is."""
    return {p: instead.get(p) or world.known(p, name)
            for p in OPERATIONS[name].parameters}


def any_body(operation):
    if operation.media_type == "application/json":
        return {}
    return BYTES if operation.media_type else None


def for_signed(name, operation):
    def ask(world, path, x=None, **signature):
        return parts(path, body=any_body(operation), auth=Signed(
            x or world.signer(name), digest_for(operation.media_type),
            **signature))

    @recipe(name, 404)
    def of_no_task(world):
        return ask(world, known(world, name, task="nobody"))

    @recipe(name, 401)
    def not_signed(world):
        return parts(known(world, name), body=any_body(operation))

    @recipe(name, 421)
    def for_another_server(world):
        return ask(world, known(world, name), record_key=BYTES[:32])

    @recipe(name, 421)
    def for_a_key_that_was_replaced(world):
        return ask(world, known(world, name),
                   record_key=bytes.fromhex(world.old_key))

    if name != "enrol":  # whose key is in the body
        @recipe(name, 403)
        def revoked(world):
            return ask(world, known(world, name), world.revoked())

        @recipe(name, 401)
        def long_ago(world):
            return ask(world, known(world, name), created=device.now(-3600))


def for_body(name, operation):
    @recipe(name, 411)
    def without_length(world):
        return parts(known(world, name),
                     headers={"Test-Without": "Content-Length"})

    @recipe(name, 413)
    def too_large(world):
        return parts(known(world, name),
                     auth=Announced(operation.max_bytes + 1))


def for_framing(name):
    @recipe(name, 400)
    def a_field_twice(world):
        return parts(known(world, name),
                     headers={"Test-Twice": "Range", "Range": "bytes=0-"})


def for_task_of_admin(name, operation):
    @recipe(name, 404)
    def of_no_task(world):
        return parts(known(world, name, task="nobody"),
                     body=any_body(operation))


for _name, _operation in OPERATIONS.items():
    if _operation.secured:
        for_signed(_name, _operation)
    elif "task" in _operation.parameters:
        for_task_of_admin(_name, _operation)
    if _operation.media_type:
        for_body(_name, _operation)
    if 400 in _operation.statuses():
        for_framing(_name)


def control(x, path, body, **signature):
    return parts(path, body=body,
                 auth=Signed(x, "Content-Digest", **signature))


# ---- enrolment ----

@recipe("enrol", 200)
def again(world):
    x = world.join()
    return control(x, {"task": x.task}, x.enrolment())


@recipe("enrol", 403)
def a_token_that_was_used(world):
    x, y = world.join(), world.daemon.invited("open", world.session)
    y.link = x.link
    return control(y, {"task": "open"}, y.enrolment())


@recipe("enrol", 403)
def a_key_that_was_revoked(world):
    x = world.revoked()
    x.link = world.daemon.link("open")
    return control(x, {"task": "open"}, x.enrolment())


@recipe("enrol", 409)
def an_ordinal_that_is_taken(world):
    ordinal = str(next(ORDINALS))
    invited = [world.daemon.invited("open", world.session, has_ordinal=True,
                                    ordinal=ordinal) for _ in range(2)]
    invited[0].enrol()
    return control(invited[1], {"task": "open"}, invited[1].enrolment())


ORDINALS = itertools.count(1000000)


@recipe("enrol", 400)
def a_key_that_is_none(world):
    x = world.daemon.invited("open", world.session)
    return control(x, {"task": "open"}, dict(x.enrolment(), key="AAAA"))


# ---- check-in, failure, update, proof ----

@recipe("checkin", 422)
def no_common_codec(world):
    return control(world.signer("checkin"), {"task": "open"},
                   {"client_version": "0.1.0", "codecs": ["q8"]})


@recipe("checkin", 422)
def too_little_memory(world):
    return control(world.signer("checkin"), {"task": "open"},
                   {"client_version": "0.1.0", "codecs": ["f32"],
                    "memory": "1"})


@recipe("checkin", 400)
@recipe("reportFailure", 400)
def without_what_is_required(world):
    return control(world.signer("checkin"), {"task": "open", "round": "1"}, {})


@recipe("reportFailure", 403)
def of_nothing(world):
    return control(world.join(), {"task": "open", "round": "1"}, {"code": "other"})


@recipe("reportFailure", 410)
def too_late(world):
    x, round, _ = world.proven()
    return control(x, {"task": x.task, "round": round}, {"code": "other"})


def put(x, round, frame, **more):
    return parts({"task": x.task, "round": round}, body=frame,
                 auth=Signed(x, "Repr-Digest", **more))


@recipe("putUpdate", 200)
def the_same_again(world):
    x, work, frame = world.working()
    x.upload(work, frame)
    return put(x, work["round"], frame)


@recipe("putUpdate", 409)
def another_one(world):
    x, work, frame = world.working()
    x.upload(work, frame)
    return put(x, work["round"],
               update_frame(work, x.model(work["base"]), step=0.002))


@recipe("putUpdate", 400)
def other_than_its_digest(world):
    x, work, frame = world.working()
    return put(x, work["round"], frame, whole=b"another")


@recipe("putUpdate", 400)
def no_frame(world):
    x, work, frame = world.working()
    return put(x, work["round"], bytes(len(frame)))


@recipe("putUpdate", 403)
def of_a_device_without_work(world):
    x, work, frame = world.working()
    return put(world.join(), work["round"], frame)


@recipe("putUpdate", 410)
def late(world):
    x, round, _ = world.proven()
    y = world.join("fast")
    return put(y, round, bytes(288))


def unfit(change):
    """An update that is refused for what is in it."""
    @recipe("putUpdate", 422)
    def update(world):
        x, work, _ = world.working()
        return put(x, work["round"], change(work, x.model(work["base"])))


def changed(at, value):
    def change(work, model):
        frame = update_frame(work, model)
        return frame[:at] + value + frame[at + len(value):]
    return change


unfit(lambda work, model: update_frame(work, model, step=float("inf")))
unfit(lambda work, model: update_frame(work, model, step=1e6))
unfit(lambda work, model: update_frame(work, model, examples=0))
unfit(lambda work, model: update_frame(work, model, examples=10**9))
unfit(changed(152, bytes(32)))               # of another layout
unfit(changed(192, struct.pack("<B", 9)))    # a kind of section
unfit(changed(193, struct.pack("<B", 99)))   # a codec


@recipe("appendUpdate", 200)
def when_it_counts_already(world):
    x, work, frame = world.working()
    x.upload(work, frame)
    return append(x, work, frame, 150)


@recipe("appendUpdate", 404)
def of_nothing_that_is_kept(world):
    x, work, frame = world.working()
    return append(x, work, frame, 150)


@recipe("appendUpdate", 409)
def from_elsewhere(world):
    x, work, frame = world.working()
    return append(x, work, frame, world.daemon.cut_off(x, work, frame, 150) - 1)


@recipe("appendUpdate", 409)
def of_another_update(world):
    x, work, frame = world.working()
    offset = world.daemon.cut_off(x, work, frame, 150)
    other = update_frame(work, x.model(work["base"]), step=0.002)
    return append(x, work, other, offset)


@recipe("appendUpdate", 400)
def the_rest_of_another(world):
    x, work, frame = world.working()
    offset = world.daemon.cut_off(x, work, frame, 150)
    return append(x, work, frame, offset, bytes(len(frame) - offset))


@recipe("appendUpdate", 403)
def to_nobodys_work(world):
    x, work, frame = world.working()
    return append(world.join(), work, frame, 150)


@recipe("appendUpdate", 410)
def too_late_to_go_on(world):
    x, round, _ = world.proven()
    return append(world.join("fast"), {"round": round}, bytes(288), 150)


@recipe("appendUpdate", 422)
def the_rest_of_what_is_unfit(world):
    x, work, _ = world.working()
    frame = update_frame(work, x.model(work["base"]), step=float("inf"))
    return append(x, work, frame, world.daemon.cut_off(x, work, frame, 150))


@recipe("getProof", 404)
def without_an_update(world):
    x, round, _ = world.proven()
    return parts({"task": "fast", "round": round},
                 auth=Signed(world.joined("fast")))


@recipe("getProof", 400)
@recipe("listRounds", 400)
@recipe("listClasses", 400)
def of_no_number(world):
    x, round, _ = world.proven()
    return parts({"task": x.task, "round": round}, {"since": "all"},
                 auth=Signed(x))


# ---- plans, models ----

def for_objects(name, which):
    @recipe(name, 206)
    def a_part(world):
        return parts({"digest": world.status[which]},
                     headers={"Range": "bytes=4-99"})

    @recipe(name, 304)
    def the_same(world):
        return parts({"digest": world.status[which]}, headers={
            "If-None-Match": '"%s"' % world.status[which]})

    @recipe(name, 416)
    def beyond(world):
        return parts({"digest": world.status[which]},
                     headers={"Range": "bytes=99999999-"})

    @recipe(name, 404)
    def of_nothing(world):
        return parts({"digest": NOWHERE})


for_objects("getPlan", "plan")
for_objects("getModel", "model")
for_objects("downloadModel", "model")


@recipe("getKey", 404)
def a_key_that_was_none(world):
    return parts({"digest": NOWHERE})


# ---- admin ----

@recipe("createTask", 409)
def a_name_that_is_taken(world):
    return parts(body={"name": "open", "model": MODEL, "round": OPEN})


@recipe("createTask", 422)
def nothing_to_train(world):
    return parts(body={"name": world.name(), "model": "none"})


@recipe("setTask", 400)
@recipe("createToken", 400)
def with_what_is_unknown(world):
    return parts({"task": "open"}, body={"colour": "blue"})


@recipe("setTask", 409)
def not_when_it_is_over(world):
    name = world.task_to_change()
    world.daemon.ask("PATCH", "/admin/v1/tasks/" + name, {"state": "finished"})
    return parts({"task": name}, body={"state": "running"})


@recipe("setTask", 404)
def not_back_to_what_was_not(world):
    return parts({"task": world.task_to_change()}, body={"rollback": "7"})


@recipe("showDevice", 404)
@recipe("revokeDevice", 404)
def of_no_device(world):
    return parts({"task": "open", "device": NOWHERE[:32]})


@recipe("listDevices", 400)
def of_no_id(world):
    return parts({"task": "open"}, {"id": "me"})


@recipe("showRound", 404)
def of_no_round(world):
    return parts({"task": "open", "round": "99"})

