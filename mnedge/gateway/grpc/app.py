"""The gRPC services as one ASGI application."""

from mnedge.gateway.backend import Backend
from mnedge.gateway.connection import App
from mnedge.gateway.grpc.rpcs import RPCS
from mnedge.gateway.grpc.transport import Transport


def application(backend: Backend) -> App:
    """Return what answers requests whose content type is `application/grpc`."""
    return Transport(RPCS, backend)
