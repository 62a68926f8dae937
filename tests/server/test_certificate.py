"""The TLS listener on real sockets: what it speaks, and that new files are taken and bad ones are not."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from penstock.clock import SystemClock, SystemRandom
from penstock.config.load import load_config
from penstock.errors import ConfigError
from penstock.gateway import Gateway
from penstock.server.certificate import LOOK_SECONDS, Certificate
from penstock.server.data_plane import DataPlane
from penstock.testing import SimLoop, run

OPEN = serialization.NoEncryption()


def write_pair(
    folder: Path, name: str, days: tuple[int, int] = (-1, 1), secret_of: serialization.KeySerializationEncryption = OPEN
) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now + timedelta(days=days[0])).not_valid_after(now + timedelta(days=days[1]))
    cert = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, secret_of)
    (folder / "cert.pem").write_bytes(cert)
    (folder / "key.pem").write_bytes(secret)
    return str(folder / "cert.pem"), str(folder / "key.pem")


def name_of(certificate: Certificate) -> str:
    """The common name that a handshake in memory is shown."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking, answering = client.wrap_bio(down, up), certificate.context.wrap_bio(up, down, server_side=True)
    for end in (asking, answering, asking, answering):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    shown = asking.getpeercert(binary_form=True)
    assert shown is not None
    name = x509.load_der_x509_certificate(shown).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    return str(name)


def test_new_files_are_taken_and_bad_ones_change_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: SimLoop) -> None:
        certificate = Certificate(*write_pair(tmp_path, "first"), loop.clock)
        certificate.watch()
        assert name_of(certificate) == "first"
        write_pair(tmp_path, "second")
        await loop.clock.sleep(LOOK_SECONDS + 1)
        assert name_of(certificate) == "second"
        (tmp_path / "cert.pem").write_text("-----BEGIN half")
        await loop.clock.sleep(3 * LOOK_SECONDS)
        assert name_of(certificate) == "second"
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1, "told once"
        write_pair(tmp_path, "third")
        await loop.clock.sleep(LOOK_SECONDS + 1)
        assert name_of(certificate) == "third"
        certificate.close()

    run(main, leak_free=True)


def test_a_pair_that_does_not_match_is_refused_at_the_start(tmp_path: Path) -> None:
    _, key = write_pair(tmp_path, "one")
    (tmp_path / "other").mkdir()
    cert, _ = write_pair(tmp_path / "other", "two")
    with pytest.raises(ConfigError, match="cannot be used"):
        Certificate(cert, key, SystemClock())


def test_why_a_pair_cannot_be_used_is_told_in_words(tmp_path: Path) -> None:
    for name in ("one", "two", "locked"):
        (tmp_path / name).mkdir()
    cert, key = write_pair(tmp_path / "one", "one")
    _, other = write_pair(tmp_path / "two", "two")
    locked_cert, locked = write_pair(tmp_path / "locked", "x", secret_of=serialization.BestAvailableEncryption(b"pw"))
    (tmp_path / "text").write_text("hello")
    text, missing = str(tmp_path / "text"), str(tmp_path / "missing")
    for pair, told in {
        (key, cert): f"{key} holds no certificate",
        (text, key): f"{text} holds no certificate",
        (cert, cert): f"{cert} holds no private key",
        (cert, other): "the key is not that of the certificate",
        (locked_cert, locked): f"{locked} is under a passphrase; without one: openssl pkey -in key.pem -out",
        (cert, missing): f"{missing} cannot be read: No such file",
        (missing, key): f"{missing} cannot be read: No such file",
    }.items():
        with pytest.raises(ConfigError) as refused:
            Certificate(*pair, SystemClock())
        assert told in refused.value.message
        assert "_ssl.c" not in refused.value.message


@pytest.mark.parametrize(
    ("days", "told"),
    [((-1, 1), ""), ((-3, -1), "has expired"), ((1, 3), "does not hold yet")],
    ids=["now", "past", "to"],
)
def test_a_certificate_of_another_time_is_used_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: tuple[int, int], told: str
) -> None:
    async def main(loop: SimLoop) -> None:
        certificate = Certificate(*write_pair(tmp_path, "first", days), loop.clock)
        assert certificate.out_of_date == told
        assert (f"cert.pem {told}: callers will refuse it" in caplog.text) is bool(told)
        certificate.watch()
        caplog.clear()
        write_pair(tmp_path, "second", days)
        await loop.clock.sleep(LOOK_SECONDS + 1)
        assert name_of(certificate) == "second"
        assert (f"cert.pem {told}: callers will refuse it" in caplog.text) is bool(told)
        certificate.close()

    run(main, leak_free=True)


def test_it_speaks_tls_and_nothing_else(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path, "gateway")

    async def main() -> None:
        server = {"listen": "127.0.0.1:0", "tls": {"cert": cert, "key": key}}
        config = load_config({"auth": "open", "providers": {"sim": {}}, "server": server}, {})
        gateway = Gateway(config, SystemClock(), SystemRandom(), None)
        plane = DataPlane(gateway, SystemClock())
        await plane.open()
        assert plane.url.startswith("https://127.0.0.1:")
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port, ssl=client)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"GARBAGE\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        await plane.drain(1)
        await gateway.aclose()

    asyncio.run(main())
