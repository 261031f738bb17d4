#!/usr/bin/env python3
"""HTTP Message Signatures (RFC 9421) between us and PyPI's
http-message-signatures, in both directions, with both kinds of device key.

usage: signatures.py BIN APP

BIN is the folder with pocketfedd; APP is tests/interop/app.c, an app that uses
the client library. Its requests are kept on their way to the daemon and
verified here; then requests signed here are sent to the daemon.
"""
import os
import subprocess
import sys

sys.dont_write_bytecode = True  # the tree stays as it is

from http_message_signatures import (HTTPMessageVerifier, InvalidSignature,
                                     MappingKeyResolver)

import daemon
import device
import recorder
from device import Signed


def model(side, units):
    return {"version": 1, "input": [1, side, side],
            "loss": "softmax_cross_entropy",
            "layers": [{"name": "flatten", "type": "flatten"},
                       {"name": "fc", "type": "dense", "units": units}]}


ROUND = {"select": {"min": 1000, "max": 1000},
         "collect": {"min": 1000, "max": 1000},
         "poll_min_s": 0.05, "poll_max_s": 0.1}
FAST = {"select": {"min": 1, "max": 1}, "collect": {"min": 1, "max": 1},
        "poll_min_s": 0.05, "poll_max_s": 0.1}
CUT = 40000  # bytes of the first update
NEEDED = ("@method", "@path", "@query", "pocketfed-record-key")
DIGEST = {"PUT": "repr-digest", "PATCH": "repr-digest",
          "POST": "content-digest"}  # by method; others have no body
UNSIGNED = ("/v1/plans/", "/v1/models/")


def check(what, holds):
    if not holds:
        raise AssertionError(what)


def verify(request, resolver, alg):
    """Theirs over ours. What it says it has verified."""
    verifier = HTTPMessageVerifier(
        signature_algorithm=device.ALGORITHMS[alg], key_resolver=resolver)
    digest = DIGEST.get(request.method)
    needed = NEEDED + ((digest,) if digest else ())
    body = request.body if digest == "content-digest" else None
    found, = verifier.verify(request, expect_tag=device.TAG, body=body,
                             require_components=needed)
    check("it covers what it must: %s" % list(found.covered_components),
          len(found.covered_components) == len(needed) + 1)
    check("the body was checked against its digest",
          body is None or found.body == body)
    return found


def refused(request, resolver, alg):
    try:
        verify(request, resolver, alg)
    except InvalidSignature:
        return True
    return False


def forgeries(request):
    """The same request with one thing that is signed changed."""
    yield request._replace(method="TRACE" if request.method not in DIGEST
                           else "DELETE")
    yield request._replace(url=request.url + "x")
    yield request._replace(url=request.url + "?since=1")
    for name in ("Pocketfed-Record-Key", "Content-Digest", "Repr-Digest"):
        value = request.headers.get(name)
        if value:
            yield request._replace(
                headers=request.headers.changed(name, value.replace(
                    value[-8], "A" if value[-8] != "A" else "B")))
    signed = request.headers.get("Signature-Input")
    for old, new in (("created=1", "created=2"), ('nonce="', 'nonce="x'),
                     ('"@method" "@path"', '"@path" "@method"')):
        check("Signature-Input has %s" % old, old in signed)
        yield request._replace(headers=request.headers.changed(
            "Signature-Input", signed.replace(old, new, 1)))


def app_sends(d, app, kind, folder):
    """What an app sent that joined, took part twice and left."""
    with recorder.Recorder(d.client, d.dir, cut=CUT) as r:
        link = d.link("long").text(r.port, r.pin)
        subprocess.run([app, kind, folder], input=link.encode(), check=True,
                       env=d.environment(), timeout=120)
    return r.requests


def ours_is_verified(d, app, kind, alg):
    sent = app_sends(d, app, kind, os.path.join(d.dir, kind))
    enrolment, = [r for r in sent if r.url.endswith("/enrol")]
    said = device.json.loads(enrolment.body)
    raw = device.from_base64url(said["key"])
    check("the enrolment names the algorithm", said["alg"] == alg)
    resolver = MappingKeyResolver(
        public_keys={device.device_id(raw): device.public_of(alg, raw)},
        private_keys={})
    methods, nonces, queries = set(), set(), 0
    for request in sent:
        if any(path in request.url for path in UNSIGNED):
            check("a plan or model is not signed for",
                  request.headers.get("Signature") is None)
            continue
        found = verify(request, resolver, alg)
        if DIGEST.get(request.method) == "repr-digest":
            repr_digest(request, sent)
        check("each nonce is used once", found.nonce not in nonces)
        queries += "?" in request.url
        for forged in forgeries(request):
            check("a forged %s is refused" % request.method,
                  refused(forged, resolver, alg))
        nonces.add(found.nonce)
        methods.add(request.method)
    check("all kinds of request were seen, not only %s" % sorted(methods),
          methods == {"POST", "PUT", "HEAD", "PATCH", "GET", "DELETE"})
    check("one had a query", queries > 0)
    print("%s: %d requests of ours verified by http-message-signatures: %s"
          % (alg, len(nonces), ", ".join(sorted(methods))))


def repr_digest(request, sent):
    """The field is over the whole frame, also where a part is sent."""
    frames = []
    begun = b""
    for r in sent:
        if r.url == request.url and r.method == "PUT":
            begun = r.body
            frames += [r.body] if r.whole else []
        if r.url == request.url and r.method == "PATCH":
            at = int(r.headers.get("Upload-Offset"))
            check("a part begins in what was sent", 0 < at <= len(begun))
            frames.append(begun[:at] + r.body)
    check("Repr-Digest is that of the frame",
          request.headers.get("Repr-Digest") in
          [device.digest_field(frame) for frame in frames])


def theirs_is_accepted(d, alg):
    x = d.join("open", alg=alg)
    check("the same key enrols again", x.enrol().status_code == 200)
    work = x.work()
    frame = device.update_frame(work, x.model(work["base"]))
    ask = x.ask("GET", x.path())
    check("a request without a body is answered", ask.status_code == 200)
    for status in (201, 200):
        reply = x.upload(work, frame)
        check("an update is %d" % status, reply.status_code == status)
        x.vouched(reply, "acknowledgement")
    other = d.join("open", alg=alg)
    work = other.work()
    reply = other.ask("POST", other.path("/rounds/%s/failure" % work["round"]),
                      {"code": "other"})
    check("an assignment is given back", reply.status_code == 204)
    variants(x)
    print("%s: requests signed by http-message-signatures are accepted" % alg)


def variants(x):
    """What RFC 9421 leaves to the signer is accepted; what we ask is needed."""
    components = ["pocketfed-record-key", "content-digest", "@query", "@path",
                  "@method"]

    def said(**params):
        return x.checkin(auth=Signed(x, "Content-Digest", **params))

    for accepted in (dict(components=components), dict(label="anything"),
                     dict(nonce="x" * 32, created=device.now())):
        reply = said(**accepted)
        check("%s is accepted: %s" % (accepted, reply.text),
              reply.status_code == 200)
    for without in components:
        if without == "content-digest":
            continue  # the library adds it by itself
        reply = said(components=[c for c in components if c != without])
        check("without %s: %s" % (without, reply.text),
              problem(reply) == (401, "signature-missing"))
    for wrong, slug in (
            (dict(components=components + ["@authority"]), "signature-missing"),
            (dict(components=components + ["content-type"]),
             "signature-missing"),
            (dict(tag="pocketfed-2"), "signature-missing"),
            (dict(nonce="x" * 33), "signature-wrong"),
            (dict(nonce="again"), None), (dict(nonce="again"), "replayed"),
            (dict(created=device.now(-600)), "clock-skew"),
            (dict(include_alg=False), "signature-missing")):
        reply = said(**wrong)
        check("%s: %s" % (wrong, reply.text),
              problem(reply) == ((401, slug) if slug else (200, None)))
    for change in (another_signature, another_query, another_time):
        reply = x.checkin(auth=Spoilt(x, change))
        check("%s: %s" % (change.__name__, reply.text),
              problem(reply) == (401, "signature-wrong"))


class Spoilt(Signed):
    """Changed after it was signed."""

    def __init__(self, device, change):
        super().__init__(device, "Content-Digest")
        self.change = change

    def __call__(self, request):
        self.change(super().__call__(request))
        return request


def another_signature(request):
    old = request.headers["Signature"]
    at = len("sig1=:") + 9
    new = "A" if old[at] != "A" else "B"
    request.headers["Signature"] = old[:at] + new + old[at + 1:]


def another_query(request):
    request.url += "?x=1"


def another_time(request):
    old = request.headers["Signature-Input"]
    created = int(old.split("created=")[1].split(";")[0])
    request.headers["Signature-Input"] = old.replace(
        "created=%d" % created, "created=%d" % (created - 1))


def problem(reply):
    if reply.status_code < 400:
        return reply.status_code, None
    return reply.status_code, reply.json()["type"].rsplit("/", 1)[1]


def pin_decides(d):
    link = d.link("open")
    x = device.Device(d.session([bytes(32)]), daemon.CLIENT, link)
    try:
        x.enrol()
    except daemon.WrongPin:
        return
    raise AssertionError("a certificate with another key is refused")


def main():
    binaries, app = sys.argv[1:]
    with daemon.Daemon(binaries) as d:
        d.add_task(name="open", model=model(2, 3), round=ROUND)
        # 82 KB: an update is long enough to go on after a cut.
        d.add_task(name="long", model=model(16, 80), round=FAST)
        pin_decides(d)
        for kind, alg in (("ed25519", "ed25519"),
                          ("p256", "ecdsa-p256-sha256")):
            ours_is_verified(d, app, kind, alg)
            theirs_is_accepted(d, alg)


if __name__ == "__main__":
    main()
