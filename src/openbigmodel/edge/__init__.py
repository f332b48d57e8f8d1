"""The front of the server: strict HTTP/1.1, hot routes without ASGI, everything else to uvicorn.

head → what a request says it is · body → where it ends · sink → how a hot route answers ·
unfinished → a body that comes bit by bit · protocol → one connection · server → what all connections share.
"""

from openbigmodel.edge.head import RequestHead
from openbigmodel.edge.protocol import EdgeProtocol, uvicorn_config
from openbigmodel.edge.server import Edge, EdgeLimits, PortBusy, listening_socket
from openbigmodel.edge.sink import Exchange, HotRoute, Sink
from openbigmodel.edge.unfinished import Unfinished

__all__ = [
    "Edge",
    "EdgeLimits",
    "EdgeProtocol",
    "Exchange",
    "HotRoute",
    "PortBusy",
    "RequestHead",
    "Sink",
    "Unfinished",
    "listening_socket",
    "uvicorn_config",
]
