"""For each operation of proto/openapi/, by operationId: what has to be there
before it, and a request that is answered with success (refusals.py: with each
other status that the files promise).

A recipe gets the world and returns the request's parts; it makes devices and
state of its own, so that it can be followed any number of times. An operation
without a recipe fails the test, by name.
"""
import collections
import time

from device import Signed, update_frame

MODEL = {"version": 1, "input": [1, 2, 2], "loss": "softmax_cross_entropy",
         "layers": [{"name": "flatten", "type": "flatten"},
                    {"name": "fc", "type": "dense", "units": 3}]}
# One that stays open, and one that each update closes.
OPEN = {"select": {"min": 100000, "max": 100000},
        "collect": {"min": 100000, "max": 100000}}
FAST = {"select": {"min": 1, "max": 1}, "collect": {"min": 1, "max": 1},
        "poll_min_s": 0.05, "poll_max_s": 0.1}

Parts = collections.namedtuple("Parts", "path query headers body auth")
Recipe = collections.namedtuple("Recipe", "make status")
RECIPES = collections.defaultdict(list)


def parts(path=None, query=None, headers=None, body=None, auth=None):
    return Parts(path or {}, query or {}, headers or {}, body, auth)


def recipe(name, status=None):
    """status: what it is answered with; None: any success."""
    def add(function):
        RECIPES[name].append(Recipe(function, status))
        return function
    return add


class World:
    """A daemon with two tasks, and who is in them."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.old_key = daemon.ask("GET", "/admin/v1")["record_key"]
        daemon.rotate_key()
        for name, phases in (("open", OPEN), ("fast", FAST)):
            daemon.add_task(name=name, model=MODEL, round=phases)
        daemon.link("open")
        self.session = daemon.session()
        self.names = 0
        self.devices = {}
        self.status = daemon.ask("GET", "/admin/v1/tasks/open")
        self.counted = self.outcast = None

    def name(self):
        self.names += 1
        return "t%d" % self.names

    def join(self, task="open"):
        return self.daemon.join(task, self.session)

    def working(self, task="open"):
        """A device with an assignment, and its frame."""
        x = self.join(task)
        work = x.work()
        return x, work, update_frame(work, x.model(work["base"]))

    def proven(self):
        """A device with an update in an ended round, and that update's round
        and digest."""
        if not self.counted:
            x, work, frame = self.working("fast")
            ack = x.upload(work, frame).json()
            self.counted = x, ack["counted"], ack["digest"]
            while x.ask("GET", x.path("/rounds/%s/proof" % ack["counted"]
                                      )).status_code == 404:
                time.sleep(0.01)
        return self.counted

    def joined(self, task="open", reason=""):
        """A member that may have been used before, for the same."""
        if (task, reason) not in self.devices:
            self.devices[task, reason] = self.join(task)
        return self.devices[task, reason]

    def revoked(self):
        if not self.outcast:
            self.outcast = self.join()
            self.daemon.ask("DELETE", "/admin/v1/tasks/open/devices/" +
                            self.outcast.id)
        return self.outcast

    def signer(self, operation):
        """A member that signs for this operation, and has nothing to lose."""
        if operation in ENDS_MEMBERSHIP:
            return self.join()
        return self.joined(reason=operation)

    def task_to_change(self):
        name = self.name()
        self.daemon.add_task(name=name, model=MODEL, round=OPEN)
        return name

    def known(self, parameter, operation):
        """A value of a path parameter that names something."""
        if parameter == "task":
            return (self.task_to_change() if operation == "setTask"
                    else "open")
        if parameter == "round":
            return "1"
        if parameter == "digest":
            if operation == "getKey":
                return self.old_key
            return self.status["plan" if operation == "getPlan" else "model"]
        if parameter == "device":
            return self.join().id
        raise AssertionError("recipes.py knows no {%s} for %s" % (
            parameter, operation))


ENDS_MEMBERSHIP = {"leave"}  # whoever signs these is no member afterwards


def digest_for(media_type):
    """The digest field that a signed request with that body has."""
    if media_type in ("application/vnd.pocketfed.update",
                      "application/partial-upload"):
        return "Repr-Digest"
    return "Content-Digest" if media_type else None


# ---- client ----

@recipe("getTask")
def get_task(world):
    x = world.signer("getTask")
    return parts({"task": x.task}, auth=Signed(x))


@recipe("enrol")
def enrol(world):
    x = world.daemon.invited("open", world.session)
    return parts({"task": "open"}, body=x.enrolment(),
                 auth=Signed(x, "Content-Digest"))


@recipe("checkin")
def checkin(world):
    x = world.signer("checkin")
    return parts({"task": x.task}, auth=Signed(x, "Content-Digest"),
                 body={"client_version": "0.1.0", "codecs": ["f32"]})


@recipe("getPlan")
def get_plan(world):
    return parts({"digest": world.status["plan"]})


@recipe("getModel")
def get_model(world):
    return parts({"digest": world.status["model"]})


@recipe("putUpdate")
def put_update(world):
    x, work, frame = world.working()
    return parts({"task": x.task, "round": work["round"]}, body=frame,
                 auth=Signed(x, "Repr-Digest"))


@recipe("lookAtUpdate")
def look_at_update(world):
    x, work, frame = world.working()
    world.daemon.cut_off(x, work, frame, 150)
    return parts({"task": x.task, "round": work["round"]}, auth=Signed(x))


def append(x, work, frame, offset, body=None):
    """The PATCH with what is missing of a frame, or another body."""
    return parts({"task": x.task, "round": work["round"]},
                 headers={"Upload-Offset": str(offset),
                          "Upload-Complete": "?1"},
                 body=frame[offset:] if body is None else body,
                 auth=Signed(x, "Repr-Digest", whole=frame))


@recipe("appendUpdate", 201)
def append_update(world):
    x, work, frame = world.working()
    return append(x, work, frame, world.daemon.cut_off(x, work, frame, 150))


@recipe("reportFailure")
def report_failure(world):
    x, work, _ = world.working()
    return parts({"task": x.task, "round": work["round"]},
                 body={"code": "memory", "detail": "too small"},
                 auth=Signed(x, "Content-Digest"))


@recipe("getProof")
def get_proof(world):
    x, round, _ = world.proven()
    return parts({"task": x.task, "round": round}, auth=Signed(x))


@recipe("getProof")
def get_proof_since(world):
    x, round, digest = world.proven()
    return parts({"task": x.task, "round": round},
                 {"since": "1", "update": digest}, auth=Signed(x))


@recipe("leave")
def leave(world):
    x, _, _ = world.working()
    return parts({"task": x.task}, auth=Signed(x))


@recipe("getKey")
def get_key(world):
    return parts({"digest": world.old_key})


# ---- admin ----

@recipe("getInfo")
@recipe("listTasks")
def no_parameters(world):
    return parts()


@recipe("createTask")
def create_task(world):
    return parts(body={"name": world.name(), "model": MODEL, "round": OPEN})


@recipe("showTask")
@recipe("listRounds")
@recipe("listClasses")
@recipe("listDevices")
def of_a_task(world):
    return parts({"task": "open"})


@recipe("setTask")
def set_task(world):
    return parts({"task": world.task_to_change()}, body={"state": "paused"})


@recipe("createToken")
def create_token(world):
    return parts({"task": "open"}, body={"uses": "3", "label": "interop"})


@recipe("showRound")
def show_round(world):
    return parts({"task": "open", "round": "1"})


@recipe("downloadModel")
def download_model(world):
    return parts({"digest": world.status["model"]})


@recipe("showDevice")
@recipe("revokeDevice")
def of_a_device(world):
    x, _, _ = world.working()
    return parts({"task": x.task, "device": x.id})


# ---- ops ----

@recipe("livez")
@recipe("readyz")
@recipe("metrics")
def of_the_daemon(world):
    return parts()
