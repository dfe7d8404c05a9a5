"""From bytes to `Request`: llhttp (through httptools) parses, and this refuses what is too large, too slow or no HTTP.

```
            first byte         end of header        end of body
   idle ───────────────▶ header ──────────▶ body ──────────▶ `take`
               header_timeout    body_timeout
```

One reader serves one connection for all its requests. What it takes is whole: a handler never waits for a body.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import httptools

from fairlead.errors import FairleadError, InvalidInput, Overloaded, TooLarge
from fairlead.serving.http.problems import HeaderTooLarge
from fairlead.serving.http.request import DEADLINE_HEADER, NEVER, Limits, Request, allowed_seconds

__all__ = ["MAX_URL", "Intake", "Reader", "Refused", "too_much"]

MAX_URL = 8 * 1024
_MAX_HEADER = 32 * 1024
_LARGE_BODY = 64 * 1024
"""What a body holds beyond this is counted; what all hold below it is bounded by the number of connections."""
_DEADLINE_SIZE = len(DEADLINE_HEADER)


class Refused(Exception):
    """Stops the reading; carries what the client is told."""

    def __init__(self, error: FairleadError) -> None:
        super().__init__(error.detail)
        self.error = error


class Intake:
    """What all readers of one process share.

    Attributes:
        limits: Deadlines and sizes.
        now: A clock that is read four times a second; good enough for deadlines of seconds.
        buffered: Bytes of large bodies that are held, by all connections together.
    """

    __slots__ = ("buffered", "limits", "now")

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self.now = now
        self.buffered = 0

    def hold(self, size: int) -> None:
        """Count what a large body holds. It counts until it is released, also where it is refused.

        Args:
            size: Bytes.

        Raises:
            Overloaded: All of them hold too much.
        """
        self.buffered += size
        if self.buffered > self.limits.max_buffered:
            raise too_much("Too many large bodies are being read.")

    def release(self, size: int) -> None:
        """What was held is let go of."""
        self.buffered -= size


class Reader:
    """Reads the requests of one connection; also the parser's callbacks (`on_…`).

    Args:
        intake: What is shared.
        take: Is given each request when it is whole.
        go_on: Is asked for, where a client waits for it before it sends a body (`Expect: 100-continue`).

    Attributes:
        deadline: Until when the next part must have come, by the intake's clock.
        in_header: Whether a header was begun and not ended.
        url: Of the request that is being read.
        headers: Of the same.
    """

    __slots__ = (
        "_allowed",
        "_body",
        "_body_size",
        "_go_on",
        "_header_size",
        "_held",
        "_intake",
        "_parser",
        "_take",
        "deadline",
        "headers",
        "in_header",
        "url",
    )

    _body: bytes | bytearray

    def __init__(self, intake: Intake, take: Callable[[Request], None], go_on: Callable[[], None]) -> None:
        self._intake = intake
        self._take = take
        self._go_on = go_on
        self._parser = httptools.HttpRequestParser(self)
        self.deadline = intake.now + intake.limits.header_timeout
        self.in_header = False
        self._held = 0
        self._reset()

    def feed(self, data: bytes) -> None:
        """Read on.

        Raises:
            Refused: This is not to be read.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as err:
            self._ignore_upgrade(data[err.args[0] :])
        except httptools.HttpParserCallbackError as err:
            cause = err.__context__
            raise (
                cause if isinstance(cause, Refused) else Refused(InvalidInput("The header cannot be read."))
            ) from None
        except httptools.HttpParserError:
            raise Refused(InvalidInput("This is not HTTP/1.1.")) from None
        if self.in_header:
            self._header_size += len(data)
            if self._header_size > _MAX_HEADER:
                raise Refused(_header_too_large())

    @property
    def begun(self) -> bool:
        """Whether a part of a request has come."""
        return self.in_header or bool(self.url)

    def release(self) -> None:
        """The connection is gone, and with it what was read of a body."""
        self._intake.release(self._held)
        self._held = 0

    # -- the parser ------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self.in_header = True
        self.deadline = self._intake.now + self._intake.limits.header_timeout

    def on_url(self, url: bytes) -> None:
        """The target, or a part of it."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._header_size += len(name) + len(value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Refuse what is too large before it is sent."""
        limits = self._intake.limits
        self.in_header = False
        self.deadline = self._intake.now + limits.body_timeout
        if self._header_size > _MAX_HEADER or len(self.url) > MAX_URL:
            raise Refused(_header_too_large())
        for name, value in self.headers:
            size = len(name)  # most names differ in length already
            if size == 14 and name.lower() == b"content-length" and int(value) > limits.max_body:
                raise Refused(self._too_large())
            if size == 6 and name.lower() == b"expect" and value.lower() == b"100-continue":
                self._go_on()
            if size == _DEADLINE_SIZE and name.lower() == DEADLINE_HEADER:
                self._allow(value)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body_size += len(body)
        if self._body_size > self._intake.limits.max_body:
            raise Refused(self._too_large())
        if self._body_size > _LARGE_BODY:
            self._hold(len(body))
        held = self._body
        if not held:
            self._body = body
        elif isinstance(held, bytearray):
            held += body
        else:
            # Parts may be as small as their sender likes; as objects each, they would weigh twenty times what was sent.
            self._body = bytearray(held + body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._parser.should_upgrade():
            return
        request = Request(
            self._parser.get_method(),
            self.url,
            self.headers,
            bytes(self._body),  # no copy where it came in one part
            keep_alive=self._parser.should_keep_alive(),
            version=self._parser.get_http_version(),
        )
        if self._allowed is not None:
            request.expires = request.received + self._allowed
        request.held = self._held
        self._reset()
        self.deadline = NEVER
        self._take(request)

    # -- limits ----------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._header_size = 0
        self._body = b""
        self._body_size = 0
        self._held = 0
        self._allowed: float | None = None

    def _allow(self, value: bytes) -> None:
        try:
            self._allowed = allowed_seconds(value)
        except InvalidInput as error:
            raise Refused(error) from None

    def _hold(self, size: int) -> None:
        self._held += size
        try:
            self._intake.hold(size)
        except Overloaded as error:
            raise Refused(error) from None

    def _too_large(self) -> TooLarge:
        limit = self._intake.limits.max_body
        return TooLarge(
            f"The body is larger than {limit} bytes.", hint="Send the rows in several requests.", limit=limit
        )

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Answer as HTTP/1.1 who offers another protocol (RFC 9110, 7.8), as Java's client does with every request.

        llhttp stops after such a header and leaves the body unread, so the request is read again without the offer.
        """
        method = self._parser.get_method()
        offer = (b"connection", b"upgrade", b"http2-settings")
        kept = b"".join(b"%b: %b\r\n" % pair for pair in self.headers if pair[0].lower() not in offer)
        again = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, self.url, kept, rest)
        self._reset()
        self._parser = httptools.HttpRequestParser(self)
        self.feed(again)


def too_much(detail: str) -> Overloaded:
    """What to tell a caller who is one too many; spread over seconds, so that they do not all come back at once."""
    return Overloaded(detail, hint="Wait for as long as Retry-After says.", retry_after=random.randint(1, 3))  # noqa: S311 - jitter


def _header_too_large() -> HeaderTooLarge:
    return HeaderTooLarge(f"The header is larger than {_MAX_HEADER} bytes.", limit=_MAX_HEADER)
