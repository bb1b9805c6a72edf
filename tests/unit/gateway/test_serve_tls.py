"""TLS of the service: a certificate makes it HTTPS, and a renewed one needs no restart."""

import ssl

import anyio
import httpx
import pytest
import trustme

from rbee_scheduler import ConfigError
from rbee_scheduler.testing import FakeWorker
from rbee_scheduler_gateway import GatewayOptions
from rbee_scheduler_gateway._service._tls import tls_context


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def files(authority, tmp_path):
    """Paths of a certificate and its key, and what puts new ones there."""
    paths = {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}

    def renew():
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(paths["tls_key"])
        with open(paths["tls_cert"], "wb") as chain:  # noqa: PTH123 - one path of two, as text
            chain.writelines(blob.bytes() for blob in issued.cert_chain_pems)

    renew()
    return paths, renew


async def certificate(running, context):
    """The serial number of what the service shows."""
    url = f"https://127.0.0.1:{running.port}/health"
    async with (
        httpx.AsyncClient(verify=context, trust_env=False) as client,
        client.stream("GET", url) as response,
    ):
        assert response.status_code == 200
        stream = response.extensions["network_stream"]
        return stream.get_extra_info("ssl_object").getpeercert()["serialNumber"]


async def test_a_renewed_certificate_is_taken_by_a_reload(running, authority, files):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    paths, renew = files

    def load():
        return service.gateway.deployment, service.gateway.options

    async with FakeWorker() as worker, running.open_service(worker, load=load, **paths) as service:
        assert service.service.scheme == "https"
        first = await certificate(service, context)
        assert await certificate(service, context) == first
        renew()
        await service.service.reload()
        assert await certificate(service, context) != first


async def test_a_broken_certificate_is_not_taken(running, authority, files, caplog):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    paths, _ = files

    def load():
        return service.gateway.deployment, service.gateway.options

    async with FakeWorker() as worker, running.open_service(worker, load=load, **paths) as service:
        first = await certificate(service, context)
        await anyio.Path(paths["tls_cert"]).write_text("no certificate")
        await service.service.reload()
        assert await certificate(service, context) == first
    assert "the certificate can't be used" in caplog.text


def test_a_key_that_is_encrypted_is_refused_and_nobody_is_asked_for_a_password(authority, tmp_path):
    from cryptography.hazmat.primitives import serialization

    issued = authority.issue_cert("127.0.0.1")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    options = GatewayOptions(tls_cert=str(tmp_path / "cert.pem"), tls_key=str(tmp_path / "key.pem"))
    with pytest.raises(ConfigError, match="the certificate can't be used"):
        tls_context(options)
