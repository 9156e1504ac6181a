"""What an answer may be: how long, from which host, and when to ask again.

Nothing here opens a connection; ``tor.py`` builds these rules into each request.

1. No answer is read beyond its bound, in whatever pieces it comes and however it is packed.
2. A redirect stays on its host, and on https where it came from there.
3. A server that says when to ask again is heard.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cache
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, NamedTuple

from tiny_gnupg._network.failures import ForeignRedirect, caught, network_error
from tiny_gnupg.errors import NetworkError

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL


class Answer(NamedTuple):
    """A whole HTTP answer, read within its bound; ``headers`` ignores the case of names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text: UTF-8, what is not becomes U+FFFD."""
        return self.body.decode(errors="replace")

    @property
    def retry_after(self) -> float | None:
        """Seconds until the server wants to be asked again, or None where it does not say."""
        return retry_after(self.headers)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how long a server asks to be left alone (RFC 9110, section 10.2.3).

    Args:
        headers: those of an answer.

    Returns:
        Seconds, never less than zero; None where the header is not there or not to be understood.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    from email.utils import parsedate_to_datetime  # it takes long to import

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


@cache
def bounded_response(bound: int) -> type[aiohttp.ClientResponse]:
    """Make the class of response whose content stops at a bound, however it is read.

    Args:
        bound: the most bytes that an answer may have, once it is inflated.

    Returns:
        A class for ``ClientSession(response_class=...)``; reading more raises ``NetworkError``.
    """
    import aiohttp

    class BoundedResponse(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> Any:
            started = await super().start(connection)
            content: Any = BoundedStream(self.content, bound)
            self.content = content
            return started

    return BoundedResponse


class BoundedStream:
    """An answer's body as ``aiohttp.StreamReader`` gives it, up to ``bound`` bytes."""

    def __init__(self, stream: aiohttp.StreamReader, bound: int) -> None:
        self._stream = stream
        self._bound = bound

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._stream, name)
        return self._bounded(found) if name.startswith("read") else found

    def _bounded(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def checked(part: Any) -> Any:
            # What is read ahead counts: it is part of the answer.
            if self._stream.total_bytes > self._bound:
                raise NetworkError(
                    f"the answer is longer than {self._bound} bytes and was dropped",
                    hint="raise max_answer if so much is expected",
                )
            return part

        if not iscoroutinefunction(read):
            return lambda *options: checked(read(*options))

        async def bounded(*options: Any) -> Any:
            try:
                return checked(await read(*options))
            except NetworkError:
                raise
            except caught() as error:
                raise network_error(error) from error

        return bounded

    async def read(self, size: int = -1) -> bytes:
        if size >= 0:
            part: bytes = await self._bounded(self._stream.read)(size)
            return part
        return b"".join([part async for part in self.iter_any()])

    def __aiter__(self) -> AsyncIterator[Any]:
        return _parts(self.readline)

    def iter_any(self) -> AsyncIterator[Any]:
        return _parts(self.readany)

    def iter_chunked(self, size: int) -> AsyncIterator[Any]:
        return _parts(lambda: self.read(size))

    def iter_chunks(self) -> AsyncIterator[Any]:
        return _parts(self.readchunk)


async def _parts(read: Callable[[], Awaitable[Any]]) -> AsyncIterator[Any]:
    while (part := await read()) not in (b"", (b"", False)):
        yield part


class SameHost:
    """A middleware of aiohttp that lets one request stay on its first host."""

    def __init__(self) -> None:
        self._first: URL | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        url = request.url
        first = self._first = self._first or url
        if url.host != first.host or (first.scheme == "https" and url.scheme != "https"):
            raise ForeignRedirect(f"{first.host} redirects to {url.scheme}://{url.host}")
        return await handler(request)
