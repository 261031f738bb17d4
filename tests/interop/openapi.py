#!/usr/bin/env python3
"""Schemathesis against a running daemon: every operation of proto/openapi/
succeeds at least once, no answer is a 5xx or one that the files do not describe.

usage: openapi.py BIN [PYTEST OPTIONS]

The cases come from schemathesis: the examples of the files, its coverage of each
schema, a few random ones. The hook below gives each case a role: it stays as it
is; it is about a task, round or object that exists, unsigned or signed by an
enrolled device; or it becomes what a recipe (recipes.py) says, in whole or under
its own headers, query and further members of the body.
"""
import collections
import os
import sys
import zlib

sys.dont_write_bytecode = True  # the tree stays as it is

if __name__ == "__main__":  # pytest reads this file anew
    os.environ["POCKETFED_BIN"] = sys.argv[1]
    os.execv(sys.executable, [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
        "--tb=short", __file__] + sys.argv[2:])

import pytest
import schemathesis
from schemathesis.core import NOT_SET

import contract
import daemon
import recipes
import refusals  # noqa: F401, more recipes
from contract import OPERATIONS
from device import Signed

AS_IT_IS, UNSIGNED, KNOWN, VARIED, RECIPE = range(5)

# What we promise. The others are about what a server accepts: we ignore unknown
# members of JSON, and the hook makes wrong requests right.
CHECKS = ("not_a_server_error", "status_code_conformance",
          "content_type_conformance", "response_schema_conformance",
          "response_headers_conformance", "unsupported_method",
          "allow_header_conformance", "described", "only_signed",
          "as_the_recipe_says")
CONFIG = schemathesis.Config.from_dict({
    "seed": 1,
    "generation": {"deterministic": True, "database": "none", "no-shrink": True,
                   "max-examples": 8},
    "suppress-health-check": ["all"],
    "checks": dict({"enabled": False}, **{c: {"enabled": True}
                                          for c in CHECKS}),
})
schema = schemathesis.openapi.from_path(
    os.path.join(contract.FOLDER, "openapi.yaml"), config=CONFIG)


reached, seen = collections.Counter(), set()
numbers = collections.Counter()
drawn, roles, expected = {}, {}, {}


def id_of(operation):
    return operation.definition.raw["operationId"]


@pytest.fixture(scope="module")
def world():
    with daemon.Daemon(os.environ["POCKETFED_BIN"]) as d:
        yield recipes.World(d)


# ---- the hook ----

def draw(case):
    """Role and number of the recipe. By the case alone, so that a failure comes
    again; first come the recipes, each of them."""
    name = id_of(case.operation)
    made = recipes.RECIPES.get(name, ())
    if case.method != case.operation.method.upper():
        return AS_IT_IS, 0  # schemathesis tries a method that there is not
    body = () if case.body is NOT_SET else case.body  # it shows its address
    key = (name, repr((case.path_parameters, dict(case.headers), case.query,
                       body)))
    if key not in drawn:
        number, ours = zlib.crc32(repr(key).encode()), numbers[name]
        numbers[name] += 1
        drawn[key] = ((RECIPE, ours) if ours < len(made) else
                      (number % 5, number // 5 % max(len(made), 1)))
    return drawn[key]


@schemathesis.hook
def before_call(context, case, kwargs):
    world, name = WORLD[0], id_of(case.operation)
    role, number = draw(case)
    roles[case.id] = role
    if role in (RECIPE, VARIED):
        assert name in recipes.RECIPES, \
            "tests/interop/recipes.py has no recipe for %s" % name
        made = recipes.RECIPES[name][number]
        expected[case.id] = made.status if role == RECIPE else None
        follow(made.make(world), case, kwargs, role)
    elif role in (KNOWN, UNSIGNED):
        for parameter in case.path_parameters:
            case.path_parameters[parameter] = world.known(parameter, name)
    if role == KNOWN and OPERATIONS[name].secured:
        media = None if case.body is NOT_SET else case.media_type
        kwargs["auth"] = Signed(world.signer(name), recipes.digest_for(media))


def follow(made, case, kwargs, role):
    body, own = made.body, case.body
    if role == RECIPE:
        case.query, case.headers = {}, type(case.headers)()
    elif isinstance(own, dict) and isinstance(body, dict):
        body = dict(own, **body)
    elif isinstance(body, bytes) and own is not NOT_SET:
        at = zlib.crc32(repr(own).encode()) % len(body)
        body = body[:at] + bytes([body[at] ^ 255]) + body[at + 1:]
    case.path_parameters = made.path
    case.query.update(made.query)
    case.headers.update(made.headers)
    case.body = NOT_SET
    if callable(body):
        kwargs["data"] = body()  # of unknown length
    elif body is not None:
        case.body = body
        case.media_type = OPERATIONS[id_of(case.operation)].media_type
    kwargs["auth"] = made.auth


@schemathesis.hook
def after_call(context, case, response):
    if (200 <= response.status_code < 300 and
            case.method == case.operation.method.upper()):
        reached[id_of(case.operation)] += 1
    seen.add((id_of(case.operation), response.status_code))


@schemathesis.serializer("application/vnd.pocketfed.update",
                         "application/partial-upload")
def frame(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


# ---- checks of ours ----

@schemathesis.check
def described(context, response, case):
    """`default` stands for refusals alone, and a refusal is one of those that
    are listed for its status."""
    operation = OPERATIONS[id_of(case.operation)]
    status = response.status_code
    if status < 400:
        assert status in operation.statuses(), "%d is not described" % status
        return
    content = operation.content(status)
    if content and contract.PROBLEM not in content:
        return  # no refusal: /readyz
    kinds = operation.problems(status)
    assert kinds, "%d is not described" % status
    if response.request.method != "HEAD":
        said = response.json()
        assert said["status"] == status and said["type"] in kinds, \
            "%s is not described for %d" % (said["type"], status)


@schemathesis.check
def only_signed(context, response, case):
    """What wants a signature is not done without one."""
    operation = OPERATIONS[id_of(case.operation)]
    if operation.secured and roles[case.id] in (AS_IT_IS, UNSIGNED):
        assert response.status_code >= 400, "done without a signature"


@schemathesis.check
def as_the_recipe_says(context, response, case):
    if roles[case.id] == RECIPE:
        status, wanted = response.status_code, expected[case.id]
        assert (status == wanted if wanted else 200 <= status < 300), \
            "%d instead of %s" % (status, wanted or "a success")


# ---- tests ----

WORLD = []


@schema.parametrize()
def test_answers_are_described(case, world):
    WORLD[:] = [world]
    case.call_and_validate(session=world.session)


@pytest.mark.parametrize("name", OPERATIONS)
def test_reaches(name):
    assert reached[name], "no 2xx reached for %s" % name


# Answers that are described and cannot be had here.
NOT_HERE = {
    (403, "admin"): "who runs the test may administer the daemon",
    (503, "ops"): "the daemon works",
}


@pytest.mark.parametrize("name, status", [
    (name, status) for name, operation in OPERATIONS.items()
    for status in operation.statuses()
    if (status, operation.listener) not in NOT_HERE])
def test_sees(name, status):
    assert (name, status) in seen, "%s was never answered %d" % (name, status)

