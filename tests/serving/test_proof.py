"""Strangers: requests that a machine made up, clients that take their time, and TLS."""

import datetime
import ipaddress
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

import tidewright as tw
from tests.serving.running import running, tensor
from tidewright.errors import RequestError
from tidewright.inference.session import open_session
from tidewright.serving.options import Limits

SLOW = 32


def drip(port, data, *, stop, done):
    """Sends a byte at a time up to a place, and the rest when it is told to; gives the beginning of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        for place in range(stop):
            if done.wait(0.002):
                one.sendall(data[place:])
                break
            one.sendall(data[place : place + 1])
        else:
            done.wait(30)
            one.sendall(data[stop:])
        return one.recv(12)


def test_thirty_two_slow_clients_do_not_stop_a_fast_one(ridge, rows):
    wanted, done = open_session(ridge).predict(rows).quantiles, Event()
    body = json.dumps({"inputs": [tensor(rows)]}).encode()
    head = b"POST /v2/models/sales/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    stops = (len(head) - 2, len(head) + len(body) - 1)  # half of them stay in their head, half in their body
    with (
        running([ridge.folder], limits=Limits(header_s=60, body_s=60)) as server,
        tw.Client(server.url) as client,
        ThreadPoolExecutor(SLOW) as pool,
    ):
        asked = [pool.submit(drip, server.port, head + body, stop=stops[n % 2], done=done) for n in range(SLOW)]
        while server.serving.desk.connections() < SLOW:
            done.wait(0.01)
        for _ in range(200):
            assert np.array_equal(client.infer(rows).quantiles, wanted)
        assert not any(one.done() for one in asked)
        done.set()
        assert [one.result(30) for one in asked] == [b"HTTP/1.1 200"] * SLOW


@pytest.mark.filterwarnings("ignore")
def test_what_schemathesis_makes_up_from_the_description_is_answered_as_it_says(server):
    """Every operation, with data that fit the description and data that don't: no 5xx, and no answer that it hasn't."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    quick = settings(
        max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
    )
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        modes = list(GenerationMode) if operation.body else [GenerationMode.POSITIVE]  # a path takes any text
        for mode in modes:

            @given(case=operation.as_strategy(generation_mode=mode))
            @quick
            def ask(case):
                nonlocal asked
                asked += 1
                if asked % 4 and "name" in (case.path_parameters or {}):
                    case.path_parameters |= {"name": "sales"} | ({"version": "1"} if "version" in case.path else {})
                case.call_and_validate(checks=checks)

            ask()
    assert asked > 60


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1 that signs itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, folder = ec.generate_private_key(ec.SECP256R1()), tmp_path_factory.mktemp("tls")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a word"),
        )
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_with_a_certificate_it_speaks_tls_and_the_client_checks_it(ridge, rows, certificate, monkeypatch):
    monkeypatch.setenv("TIDEWRIGHT_TLS_PASSWORD", "a word")
    cert, key = certificate
    with running([ridge.folder], tls_cert=cert, tls_key=key) as server:
        assert server.url.startswith("https://")
        with tw.Client(server.url, ca_file=cert) as client:
            assert np.array_equal(client.infer(rows).quantiles, open_session(ridge).predict(rows).quantiles)
        with tw.Client(server.url) as strict, pytest.raises(RequestError, match="CERTIFICATE_VERIFY_FAILED"):
            strict.models()
