"""A TLS endpoint between a client and the daemon that keeps every request as it
was sent: start line, field lines, body. It can let the first upload drop.
"""
import collections
import datetime
import ipaddress
import os
import socket
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding, NoEncryption, PrivateFormat)
from cryptography.x509.oid import NameOID

import daemon

MAX_HEAD = 65536


class Fields:
    """Field lines as they came; names in any case, one name perhaps twice."""

    def __init__(self, lines):
        self.lines = lines

    def items(self):
        return self.lines

    def get(self, name):
        values = [v for n, v in self.lines if n.lower() == name.lower()]
        assert len(values) < 2, "%s is sent %d times" % (name, len(values))
        return values[0] if values else None

    def changed(self, name, value):
        assert self.get(name) is not None, name
        return Fields([(n, value if n.lower() == name.lower() else v)
                       for n, v in self.lines])


Request = collections.namedtuple("Request", "method url headers body whole")


def read_head(reader):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline(MAX_HEAD)
        if not line or len(head) > MAX_HEAD:
            return None
        head += line
    return head


def parse_head(head):
    start, *lines = head.decode("latin-1").split("\r\n")[:-2]
    pairs = [line.split(":", 1) for line in lines]
    return start, Fields([(n, v.strip(" \t")) for n, v in pairs])


def self_made(folder):
    """A certificate for 127.0.0.1; its file and its pin."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "recorder")])
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
            .public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - hour).not_valid_after(now + hour)
            .add_extension(x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .sign(key, hashes.SHA256()))
    path = os.path.join(folder, "recorder.pem")
    with open(path, "wb") as f:
        f.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8,
                                  NoEncryption()))
        f.write(made.public_bytes(Encoding.PEM))
    return path, daemon.spki_pin(made.public_bytes(Encoding.DER))


class Recorder:
    def __init__(self, address, folder, cut=None):
        """Hands on to address; the first upload is cut after `cut` bytes."""
        self.address, self.cut = address, cut
        self.requests, self.lock = [], threading.Lock()
        certificate, self.pin = self_made(folder)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept)]

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *args):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join()

    def accept(self):
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return  # it was closed
            thread = threading.Thread(target=self.serve, args=(accepted,))
            self.threads.append(thread)
            thread.start()

    def serve(self, accepted):
        accepted.settimeout(60)
        try:
            with self.tls.wrap_socket(accepted, server_side=True) as client:
                with client.makefile("rb") as reader:
                    while self.exchange(client, reader):
                        pass
        except OSError:
            pass  # the client is gone

    def exchange(self, client, reader):
        """One request and its answer; false when it was the last."""
        head = read_head(reader)
        if head is None:
            return False
        start, fields = parse_head(head)
        method, target, _ = start.split(" ")
        length = int(fields.get("Content-Length") or 0)
        if fields.get("Expect"):
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        cut = None
        if method == "PUT":
            cut, self.cut = self.cut, None
        body = reader.read(length if cut is None else cut)
        with self.lock:
            self.requests.append(Request(
                method, "https://127.0.0.1:%d%s" % (self.port, target), fields,
                body, len(body) == length))
        answer = self.forward(head, body, method, cut is not None)
        if answer:
            client.sendall(answer)
        return answer is not None

    def forward(self, head, body, method, cut):
        """The daemon's answer to one request on a connection of its own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if not cut:  # the body is here already
            head = b"\r\n".join(line for line in head.split(b"\r\n")
                                if not line.lower().startswith(b"expect:"))
        with socket.create_connection(self.address, 60) as plain, \
                context.wrap_socket(plain) as server:
            server.sendall(head)
            if cut:
                assert b" 100 " in server.recv(4096)
            server.sendall(body)
            if cut:
                daemon.end_of_sending(server)
                return None
            with server.makefile("rb") as reader:
                answer = read_head(reader)
                _, fields = parse_head(answer)
                length = int(fields.get("Content-Length") or 0)
                if method != "HEAD":
                    answer += reader.read(length)
        return answer
