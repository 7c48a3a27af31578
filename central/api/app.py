"""The app: all routes, the door, the refusals."""

from pathlib import Path

from litestar import Litestar, Router
from litestar.di import Provide

from central.api import health, orders, views
from central.api.access import Door
from central.api.contract import document_of
from central.api.problems import HANDLERS
from central.api.service import Service
from central.api.tokens import Tokens
from shared.limits import PAYLOAD_BYTES_MAX


def make_app(service: Service | None, tokens: Tokens) -> Litestar:
    """The app. It owns nothing of `service`; without one it only serves to be described.

    Args:
        service: what the routes need.
        tokens: who may ask.
    """
    return Litestar(
        [Router("/v1", route_handlers=[*orders.ROUTES, *views.ROUTES]), *health.ROUTES],
        dependencies={"service": Provide(lambda: service, sync_to_thread=False)},
        guards=[Door(tokens)],
        exception_handlers=HANDLERS,
        request_max_body_size=PAYLOAD_BYTES_MAX,
        openapi_config=None,
        logging_config=None,
        signature_types=[Service],
    )


def described() -> str:
    """The OpenAPI document."""
    return document_of(make_app(None, Tokens(Path())))
