"""The floor: an httptools protocol on uvloop that decodes the JSON body and sends it back encoded. No model.

python -m peers.echo 8000
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import msgspec
import uvloop


class Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to parse."""
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the methods below."""
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        """Keep what has come of the body."""
        self._body += part

    def on_message_complete(self) -> None:
        """Answer."""
        reply = msgspec.json.encode(msgspec.json.decode(self._body))
        self._body = b""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(reply)
        self._transport.write(head + reply)  # type: ignore[attr-defined]  # a stream's transport can write


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
