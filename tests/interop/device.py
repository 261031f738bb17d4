"""A device of pocketfed, written from docs/PROTOCOL.md: its key, the signatures
of its requests (PyPI's http-message-signatures makes them), the statements it
checks, the update frame it sends. Nothing here shares a line with our C code.
"""
import base64
import datetime
import hashlib
import itertools
import json
import struct
import urllib.parse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from http_message_signatures import (HTTPMessageSigner, MappingKeyResolver,
                                     algorithms)
from requests.auth import AuthBase

ALGORITHMS = {"ed25519": algorithms.ED25519,
              "ecdsa-p256-sha256": algorithms.ECDSA_P256_SHA256}
TAG = "pocketfed-1"
_counter = itertools.count(1)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def digest_field(body):
    """RFC 9530."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return "sha-256=:%s:" % digest


def now(seconds=0):
    return (datetime.datetime.now(datetime.timezone.utc) +
            datetime.timedelta(seconds=seconds))


def raw_public(key):
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def public_of(alg, raw):
    """The key of an enrolment's body."""
    if alg == "ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)


def device_id(raw):
    return hashlib.sha256(raw).hexdigest()[:32]


class JoinLink:
    def __init__(self, text):
        url = urllib.parse.urlsplit(text)
        query = urllib.parse.parse_qs(url.query)
        assert url.scheme == "pocketfed" and query["v"] == ["1"], text
        self.host, self.port = url.hostname, url.port or 8443
        self.task, self.token = url.path[1:], url.fragment
        self.record_key = from_base64url(query["id"][0])
        self.pins = [from_base64url(p) for p in query.get("pin", [])]

    def text(self, port, pin):
        """The same link to another place."""
        return "pocketfed://%s:%d/%s?v=1&id=%s&pin=%s#%s" % (
            self.host, port, self.task, base64url(self.record_key),
            base64url(pin), self.token)


class Signed(AuthBase):
    """Signs a request of `requests` as its last step, over what is sent."""

    def __init__(self, device, digest=None, whole=None, components=None,
                 record_key=None, **params):
        """digest: the field, if any, over `whole`, or else over the body;
        components, record_key and params instead of our own."""
        self.device, self.digest, self.whole = device, digest, whole
        self.components, self.params = components, params
        self.record_key = record_key or device.record_key

    def __call__(self, request):
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        for name in ("Content-Digest", "Repr-Digest"):
            request.headers.pop(name, None)
        if self.digest == "Repr-Digest":
            request.headers[self.digest] = digest_field(
                body if self.whole is None else self.whole)
        request.headers["Pocketfed-Record-Key"] = self.record_key.hex()
        components = self.components or (
            ["@method", "@path", "@query"] +
            ([self.digest.lower()] if self.digest else []) +
            ["pocketfed-record-key"])
        params = dict(key_id=self.device.id, tag=TAG, label="sig1",
                      nonce="interop-%d" % next(_counter))
        if self.digest == "Content-Digest":
            params["body"] = body  # and the library makes the field
        params.update(self.params)
        self.device.signer.sign(request, covered_component_ids=components,
                                **params)
        return request


class Device:
    """One key, one membership. `session` is what its requests go through."""

    def __init__(self, session, base_url, link, alg="ed25519"):
        self.session, self.base_url, self.alg = session, base_url, alg
        self.link, self.record_key = link, link.record_key
        self.task = link.task
        self.key = (ed25519.Ed25519PrivateKey.generate() if alg == "ed25519"
                    else ec.generate_private_key(ec.SECP256R1()))
        self.public = raw_public(self.key.public_key())
        self.id = device_id(self.public)
        self.signer = HTTPMessageSigner(
            signature_algorithm=ALGORITHMS[alg],
            key_resolver=MappingKeyResolver(
                public_keys={}, private_keys={self.id: self.key}))
        self.statements = None  # the record key, once it is known

    def path(self, rest=""):
        return "/v1/tasks/%s%s" % (self.task, rest)

    def ask(self, method, path, body=None, digest="Content-Digest", auth=None,
            **more):
        headers = more.pop("headers", {})
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        auth = auth or Signed(self, digest if body is not None else None)
        return self.session.request(method, self.base_url + path, data=body,
                                    headers=headers, auth=auth, **more)

    def enrolment(self):
        return {"token": self.link.token, "alg": self.alg,
                "key": base64url(self.public), "label": "interop"}

    def enrol(self):
        reply = self.ask("POST", self.path("/enrol"), self.enrolment())
        assert reply.status_code in (200, 201), reply.text
        said = reply.json()
        record = bytes.fromhex(said["record_key"])
        assert hashlib.sha256(record).digest() == self.record_key
        self.statements = ed25519.Ed25519PublicKey.from_public_bytes(record)
        self.vouched(reply, "enrolment")
        assert said["device"] == self.id and said["task"] == self.task
        return reply

    def vouched(self, reply, label):
        """Is the reply said under the record key?"""
        signature = base64.b64decode(reply.headers["Pocketfed-Signature"])
        self.statements.verify(
            signature, b"pocketfed-1 " + label.encode() + b"\n" + reply.content)

    def checkin(self, auth=None):
        return self.ask("POST", self.path("/checkin"),
                        {"client_version": "0.1.0", "codecs": ["f32"]},
                        auth=auth)

    def work(self):
        """An assignment."""
        reply = self.checkin()
        assert reply.status_code == 200, reply.text
        said = reply.json()
        assert said["kind"] == "train", said
        self.vouched(reply, "assignment")
        return said

    def upload(self, work, frame, **more):
        return self.ask("PUT", self.path("/rounds/%s/update" % work["round"]),
                        frame, "Repr-Digest", **more)

    def model(self, digest):
        reply = self.session.get(self.base_url + "/v1/models/" + digest)
        assert hashlib.sha256(reply.content).hexdigest() == digest
        return reply.content


def is_refused(statement, *args):
    try:
        statement(*args)
    except InvalidSignature:
        return True
    return False


def tensors(model):
    """Of a safetensors file: name, shape, offset in floats, by offset."""
    length = struct.unpack("<Q", model[:8])[0]
    head = json.loads(model[8:8 + length])
    head.pop("__metadata__", None)
    found = [(name, t["shape"], t["data_offsets"][0] // 4)
             for name, t in head.items()]
    return sorted(found, key=lambda t: t[2])


def layout_digest(model):
    out = b""
    for name, shape, offset in tensors(model):
        out += struct.pack("<I", len(name)) + name.encode()
        out += struct.pack("<I%dI" % len(shape), len(shape), *shape)
        out += struct.pack("<Q", offset)
    return hashlib.sha256(out).digest()


def padded(data):
    return data + bytes(-len(data) % 16)


def update_frame(work, model, examples=10, step=0.001, metrics=()):
    """An update whose delta is `step` everywhere, with codec f32."""
    count = 0
    for _, shape, _ in tensors(model):
        size = 1
        for n in shape:
            size *= n
        count += size
    delta = struct.pack("<f", step) * count
    head = struct.pack("<16s", b"")  # written last: it holds the length
    head += struct.pack("<64sQ", work["task"].encode(), int(work["round"]))
    head += bytes.fromhex(work["plan"]) + bytes.fromhex(work["base"])
    head += layout_digest(model) + struct.pack("<Q", examples)
    for name, value in metrics:
        head += struct.pack("<24sd", name.encode(), value)
    head += struct.pack("<BBHIQQ", 1, 1, 0, 0, count, len(delta))
    head = padded(head)
    start = struct.pack("<4sHHHHI", b"PFUP", 1, len(metrics), 1, 0, len(head))
    return start + head[16:] + padded(delta)
