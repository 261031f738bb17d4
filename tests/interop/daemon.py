"""A pocketfedd of the test's own, and ways to its three listeners.

The OpenAPI files name each listener by a server of their own; a session here
sends what is for such a server to where the daemon really listens: TLS checked
by the pin of a join link and by nothing else, a Unix socket, plain HTTP.
"""
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import requests
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from requests.adapters import HTTPAdapter

import device

CLIENT = "https://fed.example.org:8443"  # as in proto/openapi/
ADMIN = "http://pocketfed"
OPS = "http://127.0.0.1:9464"
START_S = 20
MEMORY = "/dev/shm"


def spki_pin(certificate):
    """SHA-256 of a DER certificate's public key."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return hashlib.sha256(key.public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


class WrongPin(Exception):
    pass


class Odd:
    """What no library sends: Test-Without and Test-Twice name a header field
    that is then left out or sent a second time."""

    def request(self, method, url, body=None, headers=None, **more):
        headers = dict(headers)
        self.without = headers.pop("Test-Without", None)
        self.twice = headers.pop("Test-Twice", None)
        super().request(method, url, body, headers, **more)

    def putheader(self, name, *values):
        if name != self.without:
            super().putheader(name, *values)
        if name == self.twice:
            super().putheader(name, *values)


def pinned_pool(address, pins):
    class Connection(Odd, urllib3.connection.HTTPSConnection):
        def _new_conn(self):
            return socket.create_connection(address, self.timeout)

        def connect(self):
            super().connect()
            pin = spki_pin(self.sock.getpeercert(binary_form=True))
            if pin not in pins:
                self.close()
                raise WrongPin("the certificate's key is another one")
            self.is_verified = True

    pool = urllib3.HTTPSConnectionPool("fed.example.org", 8443,
                                       cert_reqs="CERT_NONE",
                                       assert_hostname=False)
    pool.ConnectionCls = Connection
    return pool


def plain_pool(connect):
    class Connection(Odd, urllib3.connection.HTTPConnection):
        def _new_conn(self):
            return connect()

    pool = urllib3.HTTPConnectionPool("localhost")
    pool.ConnectionCls = Connection
    return pool


class Route(HTTPAdapter):
    """Everything through one pool, whatever the URL says."""

    def __init__(self, pool):
        self.pool = pool
        super().__init__()

    def get_connection_with_tls_context(self, *args, **kwargs):
        return self.pool

    def cert_verify(self, *args):
        pass  # the pool does


def unix_connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(path)
    return s


def end_of_sending(connection):
    """Returns when the other side has seen the end, too. What it has not read
    is not lost, as it may be when a connection is closed at once."""
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass


class Daemon:
    def __init__(self, binaries):
        self.binaries = binaries
        # In memory, where there is such a folder: nothing here is about what
        # survives, and a busy disk takes its time for each fsync.
        self.dir = tempfile.mkdtemp(
            prefix="pocketfed-interop-",
            dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
        self.process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *args):
        failed = self.stop()
        if failed or args and args[0]:
            with open(os.path.join(self.dir, "log")) as log:
                print(log.read()[-4000:])
        shutil.rmtree(self.dir, ignore_errors=True)
        if failed:
            raise RuntimeError("pocketfedd ended with %d" % failed)

    def stop(self):
        """Its exit status."""
        if not self.process:
            return 0
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def rotate_key(self):
        """A new record key; the daemon is stopped for it."""
        assert self.stop() == 0
        subprocess.run([os.path.join(self.binaries, "pocketfedd"),
                        "rotate-key", "--state", self.state], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env=self.environment())
        self.start()

    def start(self):
        self.state = os.path.join(self.dir, "state")
        run = os.path.join(self.state, "run.json")
        self.socket = os.path.join(self.dir, "admin.sock")
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.binaries, "pocketfedd"), "--state", self.state,
                 "--listen", "127.0.0.1:0", "--host", "127.0.0.1",
                 "--ops-listen", "127.0.0.1:0", "--admin-socket", self.socket],
                stdin=subprocess.DEVNULL, stderr=log, stdout=log,
                env=self.environment())
        end = time.monotonic() + START_S
        while True:
            try:
                with open(run) as f:
                    said = json.load(f)
                break
            except FileNotFoundError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("pocketfedd did not start") from None
                time.sleep(0.01)
        # What is signed in the second of the start may be older than it.
        time.sleep(1 - time.time() % 1)
        self.client = address(said["client"])
        self.ops = address(said["ops"])
        self.admin = requests.Session()
        self.admin.mount(ADMIN, Route(plain_pool(
            lambda: unix_connect(self.socket))))
        self.pins = None

    def environment(self):
        """Not the caller's configuration."""
        keep = {k: v for k, v in os.environ.items()
                if not k.startswith(("POCKETFED_", "XDG_"))}
        for what in ("DEVICE", "ADDRESS", "FAILURE"):
            # What rates refuse would depend on the time.
            keep["POCKETFED_LIMITS_%s_RATE" % what] = "0"
        return dict(keep, HOME=self.dir)

    def ask(self, method, path, body=None):
        reply = self.admin.request(method, ADMIN + path, json=body)
        assert reply.ok, "%s %s: %d %s" % (method, path, reply.status_code,
                                           reply.text)
        return reply.json()

    def add_task(self, **task):
        return self.ask("POST", "/admin/v1/tasks", task)

    def link(self, task, **request):
        said = self.ask("POST", "/admin/v1/tasks/%s/tokens" % task, request)
        link = device.JoinLink(said["link"])
        assert (link.host, link.port) == self.client and link.pins
        self.pins = link.pins
        return link

    def session(self, pins=None):
        """To all listeners. Pins: those of the last join link."""
        session = requests.Session()
        session.mount(CLIENT, Route(pinned_pool(self.client,
                                                pins or self.pins)))
        session.mount(ADMIN, Route(plain_pool(
            lambda: unix_connect(self.socket))))
        session.mount(OPS, Route(plain_pool(
            lambda: socket.create_connection(self.ops, 60))))
        return session

    def invited(self, task, session=None, alg="ed25519", **token):
        """A new device with a join link of its own."""
        link = self.link(task, **token)
        return device.Device(session or self.session(), CLIENT, link, alg)

    def cut_off(self, x, work, frame, length):
        """The device x sends so many bytes of its frame, which the daemon has
        asked for, and no more. Where the daemon says that it stands then."""
        path = x.path("/rounds/%s/update" % work["round"])
        request = x.session.prepare_request(requests.Request(
            "PUT", CLIENT + path, data=frame,
            auth=device.Signed(x, "Repr-Digest")))
        lines = ["PUT %s HTTP/1.1" % path, "Host: pocketfed",
                 "Expect: 100-continue"]
        lines += ["%s: %s" % field for field in request.headers.items()]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(self.client, 60) as plain, \
                context.wrap_socket(plain) as server:
            server.sendall("\r\n".join(lines + ["", ""]).encode())
            assert b" 100 " in server.recv(4096)
            server.sendall(frame[:length])
            end_of_sending(server)
        reply = x.ask("HEAD", path)
        assert reply.status_code == 204, reply.status_code
        return int(reply.headers["Upload-Offset"])

    def join(self, task, session=None, alg="ed25519", **token):
        """The same, enrolled."""
        d = self.invited(task, session, alg, **token)
        d.enrol()
        return d


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)
