"""The gateway's own settings: the options of its ``[[plugins]]`` table."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from rbee_scheduler import ConfigError, Deployment, structure


__all__ = ["GatewayOptions", "options_of"]


def _at_least(least: float) -> Any:
    def validate(_: Any, attribute: Any, value: Any) -> None:
        if value is not None and not value >= least:
            raise ConfigError(
                f"{attribute.name} is {value!r}",
                place=f"$.{attribute.name}",
                hint=f"it must be at least {least:g}",
            )

    return validate


def _tokens(_: Any, attribute: Any, tokens: tuple[str, ...]) -> None:
    for index, token in enumerate(tokens):
        # Short ones can be guessed; what is no ASCII does not fit into a header.
        if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:  # noqa: PLR2004 - 16 random characters are 80 bits and more
            raise ConfigError(
                "a token is too short, or has characters that no token has",
                place=f"$.{attribute.name}[{index}]",
                hint="use 16 or more ASCII letters and digits, such as: openssl rand -hex 24",
            )


def _origins(_: Any, attribute: Any, origins: tuple[str, ...]) -> None:
    for index, origin in enumerate(origins):
        if origin != "*" and ("://" not in origin or origin.rstrip("/").count("/") != 2):  # noqa: PLR2004 - the two of "://"
            raise ConfigError(
                f"{origin!r} is no origin",
                place=f"$.{attribute.name}[{index}]",
                hint="write scheme, host and port, such as https://app.example.org",
            )


@attrs.frozen(kw_only=True)
class GatewayOptions:
    """Options of the gateway.

    Attributes:
        mode: ``"home"`` (one owner), ``"lab"`` (a team; a token is always asked for) or
            ``"platform"`` (tenants; needs rbee-scheduler-platform).
        host: Address to listen on. Beyond loopback, home mode needs a token.
        port: Port to listen on; 0: any free one.
        tokens: Bearer tokens that may do everything.
        worker_tokens: Bearer tokens that may send heartbeats only.
        cors_origins: Origins whose pages may call the service; ``"*"``: all.
        strategy_header: Whether ``X-Rbee-Strategy`` may choose the strategy of a request.
        max_body_bytes: Largest request body.
        max_connections: Connections at once.
        max_connections_per_client: Connections at once from one address; None: no limit.
        head_seconds: Until a request's head must be complete.
        body_seconds: Longest silence while a request's body comes.
        idle_seconds: How long a connection is kept between two requests.
        write_seconds: How long a client may take nothing of an answer.
        write_buffer_bytes: What may wait for a slow client, per connection.
        drain_seconds: How long running requests may go on when the service stops.
        probe_seconds: Pause between two probes of workers that send no heartbeats.
        access_log: Which requests are logged: ``"all"``, ``"errors"`` or ``"none"``.
        log_level: The least important events that are logged.
        log_format: ``"json"``, ``"text"``, or ``"auto"``: text on a terminal.
        processes: Processes that share the port.
        process_port: Process n can be reached by itself at 127.0.0.1, this port plus n, for
            its metrics; None: no such ports.
        tls_cert: PEM file of the certificate's chain; makes it HTTPS.
        tls_key: PEM file of its key; empty: it is in ``tls_cert``.
        job_buffer_events: Events of a job that can be read again after a lost connection.
        job_keep_seconds: How long a finished job can be read.
        max_jobs: Jobs that are kept at once, finished ones included.
        metrics_models: Models that get a label of their own in metrics; the rest share one.
        metrics_workers: Workers that do.
        metrics_plugin_time: Whether the hooks of plugins are timed, 0.2 us per call.
        tracing: Whether requests are traced with OpenTelemetry (extra ``otel``); None: when
            ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set, and the extra is installed.
    """

    mode: Literal["home", "lab", "platform"] = "home"
    host: str = "127.0.0.1"
    port: int = attrs.field(default=8080, validator=_at_least(0))
    tokens: tuple[str, ...] = attrs.field(
        default=(), converter=tuple, validator=_tokens, repr=False
    )
    worker_tokens: tuple[str, ...] = attrs.field(
        default=(), converter=tuple, validator=_tokens, repr=False
    )
    cors_origins: tuple[str, ...] = attrs.field(default=(), converter=tuple, validator=_origins)
    strategy_header: bool = True
    max_body_bytes: int = attrs.field(default=32 * 1024 * 1024, validator=_at_least(1024))
    max_connections: int = attrs.field(default=10_000, validator=_at_least(1))
    max_connections_per_client: int | None = attrs.field(default=None, validator=_at_least(1))
    head_seconds: float = attrs.field(default=10.0, validator=_at_least(0.1))
    body_seconds: float = attrs.field(default=60.0, validator=_at_least(0.1))
    idle_seconds: float = attrs.field(default=75.0, validator=_at_least(0.1))
    write_seconds: float = attrs.field(default=60.0, validator=_at_least(0.1))
    write_buffer_bytes: int = attrs.field(default=256 * 1024, validator=_at_least(4096))
    drain_seconds: float = attrs.field(default=30.0, validator=_at_least(0))
    probe_seconds: float = attrs.field(default=5.0, validator=_at_least(0.1))
    access_log: Literal["all", "errors", "none"] = "errors"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    processes: int = attrs.field(default=1, validator=_at_least(1))
    process_port: int | None = attrs.field(default=None, validator=_at_least(1))
    tls_cert: str = ""
    tls_key: str = ""
    job_buffer_events: int = attrs.field(default=4096, validator=_at_least(16))
    job_keep_seconds: float = attrs.field(default=300.0, validator=_at_least(0))
    max_jobs: int = attrs.field(default=1000, validator=_at_least(1))
    metrics_models: int = attrs.field(default=100, validator=_at_least(1))
    metrics_workers: int = attrs.field(default=100, validator=_at_least(1))
    metrics_plugin_time: bool = False
    tracing: bool | None = None


def options_of(deployment: Deployment) -> GatewayOptions:
    """Return the options of the deployment's gateway: of its ``[[plugins]]`` table, if any.

    Raises:
        ConfigError: An option is unknown or wrong.
    """
    for number, plugin in enumerate(deployment.plugins or ()):
        if (plugin.plugin or plugin.name) == "gateway":
            place = f"$.plugins[{number}].options"
            return structure(dict(plugin.options), GatewayOptions, place=place, error=ConfigError)
    return GatewayOptions()
