"""TLS: the certificate that clients see; renewed ones are taken by a reload."""

from __future__ import annotations

import ssl

from rbee_scheduler import ConfigError
from rbee_scheduler_gateway._options import GatewayOptions


__all__ = ["load_certificate", "tls_context"]


def tls_context(options: GatewayOptions) -> ssl.SSLContext | None:
    """Return what makes the service HTTPS; None where no certificate is configured.

    Raises:
        ConfigError: The certificate or its key can't be used.
    """
    if not options.tls_cert:
        if options.tls_key:
            raise ConfigError(
                "there is a key, but no certificate", place="$.tls_cert", hint="set --tls-cert"
            )
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, options)
    return context


def load_certificate(context: ssl.SSLContext, options: GatewayOptions) -> None:
    """Take the certificate as it is now; connections to come see it.

    Raises:
        ConfigError: The certificate or its key can't be used.
    """
    try:
        # Without the empty password, an encrypted key would ask for one on the terminal.
        context.load_cert_chain(options.tls_cert, options.tls_key or None, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"the certificate can't be used: {error}",
            place=options.tls_cert,
            hint="give PEM files: the chain with the own certificate first, and its key",
        ) from error
