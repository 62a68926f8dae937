"""The library on a plain asyncio loop and real sockets: to a gateway, and to one behind TLS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import penstock
from penstock import Penstock
from penstock.clock import SystemClock, SystemRandom
from penstock.config.load import load_config
from penstock.gateway import Gateway
from penstock.server.data_plane import DataPlane
from penstock.testing import SimulatedServer
from tests.client.stage import CONFIG, KEY


def test_a_gateway_on_loopback() -> None:
    async def main() -> None:
        clock = SystemClock()
        gateway = Gateway(load_config(CONFIG, {"APP_KEY": KEY}), clock, SystemRandom())
        plane = DataPlane(gateway, clock)
        await plane.open()
        async with Penstock.connect(f"http://localhost:{plane.port}", KEY) as llm:
            whole = await llm.generate("Hello")
            async with llm.stream("Hello") as stream:
                pieces = [piece async for piece in stream.text()]
            assert "".join(pieces) == whole.text == stream.reply.text
            assert gateway.metrics.in_flight.series[()] == 0
            # The caller leaves in the middle: the gateway sees it, and stops its own call.
            async with llm.stream("Hello", model="sim/small:stall=5") as stream:
                async for _ in stream:
                    break
                assert gateway.upstream_busy == 1
            await plane.drain(5.0)
            assert gateway.upstream_busy == 0
            assert gateway.metrics.in_flight.series[()] == 0
            with pytest.raises(penstock.Unavailable):
                await llm.generate("Hello")
        await gateway.aclose()

    asyncio.run(main())


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signs itself, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "penstock test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path, key_path = folder / "ca.pem", folder / "key.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key_path)
    return path, context


def test_a_gateway_behind_tls(tmp_path: Path) -> None:
    ca_file, context = certificate(tmp_path)

    async def main() -> None:
        async with SimulatedServer(tls=context) as server:
            async with Penstock.connect(server.base_url, ca_file=str(ca_file)) as llm:
                assert (await llm.generate("Hello", model="small")).text
            async with Penstock.connect(server.base_url) as llm:
                with pytest.raises(penstock.Unavailable, match="certificate is not valid"):
                    await llm.generate("Hello", model="small")

    asyncio.run(main())
