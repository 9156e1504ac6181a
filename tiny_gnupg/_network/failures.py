"""What went wrong on the way: the failures of SOCKS, Tor and HTTP in this package's own errors.

Pure: nothing here opens a connection. aiohttp and aiohttp-socks are imported where they are first
used, because importing them is slow and only a failed request needs to know their classes.

1. Tor's port does not answer, does not speak SOCKS5, or Tor does not reach the service:
   ``TorUnavailable``, with what to do about it; also where the time of the whole request was over
   before there was a connection.
2. Anything that fails after Tor made the connection: ``NetworkError``.
3. What the caller did or asked for himself stays as it is: a URL that is none, and the
   ``ClientResponseError`` of ``raise_for_status``.
"""

from __future__ import annotations

import re
import ssl
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING

from tiny_gnupg.errors import NetworkError, TorUnavailable

if TYPE_CHECKING:
    from aiohttp_socks import ProxyError


#: Whether the request of this task waits for Tor to make its connection.
connecting: ContextVar[bool] = ContextVar("connecting", default=False)


class ForeignRedirect(Exception):
    """No OSError, as NetworkError is one: aiohttp would wrap it as a failure of the socket."""


class Failure(Exception):
    """Why a try failed, and whether another circuit may help."""

    def __init__(self, error: NetworkError, *, repeat: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.repeat = repeat


_LATER = "the service may be down, or Tor not ready yet (its log says so): try again later"


_ADDRESS = "check the address"


_PORT = "check the address and its port"


# What Tor answers instead of a connection, and whether another circuit may help: RFC 1928,
# section 6, and from 0xF0 on tor(1), ExtendedErrors.
_REPLIES: dict[int, tuple[str, bool, str]] = {
    0x01: ("the connection could not be made", True, _LATER),
    0x02: ("Tor's configuration does not allow the connection", False, "check torrc"),
    0x03: ("the network is unreachable", True, "check this machine's connection"),
    0x04: ("the host is unreachable, or there is none of this name", True, _LATER),
    0x05: ("the host refuses the connection", False, _PORT),
    0x06: ("the circuit was not built in time", True, _LATER),
    0x07: ("the proxy cannot connect", False, "set tor_port to Tor's SOCKS port"),
    0x08: ("the proxy takes no host names", False, "set tor_port to Tor's SOCKS port"),
    0xF0: ("the onion service's descriptor is not to be found", True, _LATER),
    0xF1: ("the onion service's descriptor is invalid", True, _LATER),
    0xF2: ("the introduction to the onion service failed", True, _LATER),
    0xF3: ("the rendezvous with the onion service failed", True, _LATER),
    0xF4: ("the onion service wants a client key", False, "see ClientOnionAuthDir in tor(1)"),
    0xF5: ("the onion service refuses the client key", False, "see ClientOnionAuthDir in tor(1)"),
    0xF6: ("this is no onion address", False, _ADDRESS),
    0xF7: ("the introduction to the onion service was not made in time", True, _LATER),
}


@cache
def caught() -> tuple[type[Exception], ...]:
    """Return every class of error that a request over SOCKS can fail with, for an ``except``."""
    import aiohttp
    import aiohttp_socks

    # aiohttp-socks' errors derive from Exception alone, and a proxy that hangs up in the middle of
    # its greeting comes out as asyncio's IncompleteReadError, an EOFError.
    return (
        aiohttp_socks.ProxyError,
        aiohttp_socks.ProxyConnectionError,
        aiohttp_socks.ProxyTimeoutError,
        aiohttp.ClientError,
        ForeignRedirect,
        EOFError,
        OSError,
    )


def judge(error: Exception, proxy: str, *, safe: bool) -> Failure | None:
    """Say what the failure of a try means.

    Args:
        error: one of ``caught()``.
        proxy: host and port of Tor's SOCKS port, to be named.
        safe: whether sending the request twice changes no more than sending it once.

    Returns:
        Our error, and whether to try again; None where the caller's own error shall go through.
    """
    import aiohttp
    import aiohttp_socks

    match error:
        case aiohttp.RedirectClientError() | aiohttp.TooManyRedirects():
            return Failure(network_error(error), repeat=False)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return None
        # Without a cause it comes from raise_for_status, with one from an answer that is no HTTP.
        case aiohttp.ClientResponseError() if error.__cause__ is None:
            return None
        case aiohttp_socks.ProxyConnectionError():
            unreachable = TorUnavailable(f"Tor's SOCKS5 port {proxy} does not answer")
            return Failure(unreachable, repeat=False)
        case aiohttp_socks.ProxyTimeoutError():
            return Failure(_late(), repeat=True)
        case TimeoutError() if connecting.get():
            return Failure(_late(), repeat=True)
        case aiohttp_socks.ProxyError():
            return _proxy_failure(error, proxy)
        case EOFError():
            closed = TorUnavailable(f"{proxy} closed the connection: is it Tor's SOCKS5 port?")
            return Failure(closed, repeat=True)
        case NetworkError():
            return Failure(error, repeat=safe and _cut(error.__cause__))
        case _:
            return Failure(network_error(error), repeat=safe and _cut(error))


def _late() -> TorUnavailable:
    return TorUnavailable("Tor made no connection in time", hint=_LATER)


def _cut(error: BaseException | None) -> bool:
    """Return whether a request was sent and its answer did not come whole."""
    import aiohttp

    cut = aiohttp.ClientOSError | aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError
    return isinstance(error, cut) and _tls(error) is None


def _proxy_failure(error: ProxyError, proxy: str) -> Failure:
    # python-socks knows no reply beyond 8: those of ExtendedErrors are only in its text.
    said = str(error)
    extended = re.search(r"reply code: 0X(F[0-7])\b", said)
    code = int(extended[1], 16) if extended else error.error_code
    if code in _REPLIES:
        what, repeat, hint = _REPLIES[code]
        return Failure(TorUnavailable(f"through Tor: {what}", hint=hint), repeat=repeat)
    if "authentication" in said:
        what = f"{proxy} does not take the user name that keeps circuits apart: {said}"
        hint = "set tor_port to Tor's SOCKS port, or isolate=False"
        return Failure(TorUnavailable(what, hint=hint), repeat=False)
    return Failure(TorUnavailable(f"{proxy} is no SOCKS5 proxy: {said}"), repeat=False)


def network_error(error: Exception) -> NetworkError:
    """Return our error for a failure after the connection was made."""
    import aiohttp

    what, hint = f"the connection failed: {str(error) or type(error).__name__}", ""
    match error:
        case ForeignRedirect():
            what, hint = f"{error}, which is not followed", "ask there if you trust it"
        case aiohttp.TooManyRedirects():
            url = error.request_info.real_url
            what = f"{url.host} redirects again and again ({len(error.history)} times)"
        case aiohttp.RedirectClientError():
            what = f"the server redirects to what is no http or https URL: {error}"
        case TimeoutError():
            what, hint = "the answer was not whole in time", _LATER
        case _ if (tls := _tls(error)) is not None:
            reason = getattr(tls, "verify_message", "") or tls.reason or tls
            untrusted = isinstance(tls, ssl.SSLCertVerificationError)
            what = f"the server's TLS {'is not trusted' if untrusted else 'failed'}: {reason}"
        case aiohttp.ServerDisconnectedError():
            what = "the server closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            what = f"the answer was cut off, or is not packed as it says: {error}"
        case aiohttp.ClientResponseError():
            what = f"the answer is no HTTP that is understood: {error.message}"
        case _:
            pass
    return NetworkError(what, hint=hint)


def _tls(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__
    return error
