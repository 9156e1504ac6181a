"""What keyservers are asked, and what their answers must be.

URLs, requests and checks are pure; the coroutines at the end send them over a ``Network``.

1. A server is asked for one whole thing: a fingerprint, a 64-bit key id or an e-mail address.
   Anything else is on no keyserver, and no server learns of it.
2. VKS (keys.openpgp.org) is spoken to http and https servers, HKP (draft-gallagher-openpgp-hkp) to
   hkp and hkps ones, WKD (draft-koch-openpgp-webkey-service) to the domain of an address.
3. An answer is a key that ``found_keys.found_key`` passes, or an error: 404 is ``NotOnKeyserver``,
   every other refusal ``KeyserverError`` with its status and the server's own short words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode, urlsplit

from tiny_gnupg._gpg.key_names import NameForm, Term
from tiny_gnupg._network.domains import ascii_domain
from tiny_gnupg._network.found_keys import FoundKey, found_key, found_keys, query
from tiny_gnupg._openpgp.user_ids import address, same_address
from tiny_gnupg._openpgp.zbase32 import z_base_32
from tiny_gnupg._process.tasks import in_thread
from tiny_gnupg.errors import (
    KeyserverError,
    KeyserverMismatch,
    NetworkError,
    NotOnKeyserver,
    TorUnavailable,
)

if TYPE_CHECKING:
    from tiny_gnupg._network.answers import Answer
    from tiny_gnupg._network.tor import Network

DEFAULT_KEYSERVER = "http://zkaan2xfbuxia2wpf7ofnkbz6r5zdbbvxbunvp5g2iebopbfc4iqmbad.onion"


DEFAULT_SEARCH = "search?q="


MOST_UPLOADED = 2**20 - 2**10


"""Characters of an armored key; keys.openpgp.org refuses a request of more than 1 MiB."""


_SHORT = 200


class Interface(StrEnum):
    """What a keyserver speaks."""

    VKS = "vks"
    HKP = "hkp"


_VKS_FOLDERS = {
    NameForm.FINGERPRINT: "by-fingerprint",
    NameForm.KEY_ID: "by-keyid",
    NameForm.EMAIL: "by-email",
}


# What a URL's scheme means: the interface, what is spoken under it, the port where none is named.
_SCHEMES = {
    "http": (Interface.VKS, "http", 80),
    "https": (Interface.VKS, "https", 443),
    "hkp": (Interface.HKP, "http", 11371),
    "hkps": (Interface.HKP, "https", 443),
}


@dataclass(frozen=True, slots=True)
class Keyserver:
    """Where a keyserver is and what it speaks; ``dataclasses.replace`` changes the port."""

    scheme: str
    host: str
    port: int
    path: str
    interface: Interface
    search: str = DEFAULT_SEARCH

    @classmethod
    def of(
        cls, url: str = DEFAULT_KEYSERVER, port: int | None = None, search: str = DEFAULT_SEARCH
    ) -> Self:
        """Read a keyserver's base URL.

        Args:
            url: http or https for VKS, hkp or hkps for HKP.
            port: wins over the URL's own; where neither names one, it is the scheme's.
            search: what leads from the base URL to the page where people search.

        Returns:
            The keyserver.

        Raises:
            TypeError: it is no text.
            ValueError: for a URL of another kind, or one with a user, a query or a fragment.
        """
        if not isinstance(url, str):
            raise TypeError(f"a keyserver's URL is text, not {type(url).__name__}")
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ValueError(f"no keyserver's URL: {url!r} (http, https, hkp or hkps)")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(f"a keyserver's URL has no user, query or fragment: {url!r}")
        interface, scheme, usual = _SCHEMES[parts.scheme]
        named = parts.port if port is None else port
        chosen = usual if named is None else named
        path = parts.path.rstrip("/") + "/"
        return cls(scheme, _host(parts.hostname), chosen, path, interface, search)

    def __post_init__(self) -> None:
        if not 0 < self.port < 2**16:
            raise ValueError(f"the keyserver's port is no TCP port: {self.port}")

    @property
    def url(self) -> str:
        """The base URL, with its port, ending in a slash."""
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"

    @property
    def upload_url(self) -> str:
        """Where a key is uploaded to."""
        return self.url + ("vks/v1/upload" if self.interface is Interface.VKS else "pks/add")

    @property
    def verify_url(self) -> str:
        """Where the mails are asked for that confirm a key's addresses (VKS only)."""
        return self.url + "vks/v1/request-verify"

    @property
    def search_url(self) -> str:
        """The page for people, to be completed by what they search."""
        return self.url + self.search

    def look_up_url(self, term: Term) -> str:
        """Where a key is asked for, by what ``found_keys.query`` gave."""
        if self.interface is Interface.HKP:
            by_email = term.kind is NameForm.EMAIL
            form = {"op": "get", "options": "mr"} | ({"exact": "on"} if by_email else {})
            form["search"] = term.value if by_email else f"0x{term.value}"
            return f"{self.url}pks/lookup?{urlencode(form)}"
        return f"{self.url}vks/v1/{_VKS_FOLDERS[term.kind]}/{quote(term.value, safe='')}"

    def key_url(self, fingerprint: str) -> str:
        """Where the key of a fingerprint is."""
        return self.look_up_url(Term(NameForm.FINGERPRINT, fingerprint))


def _host(name: str) -> str:
    """Write a host of a URL as the network knows it: an IP address, or a name in IDNA 2008."""
    try:
        return f"[{IPv6Address(name)}]" if ":" in name else str(IPv4Address(name))
    except AddressValueError:
        return ascii_domain(name)


def wkd_urls(email: str) -> tuple[str, str]:
    """Return where a Web Key Directory keeps the key of an address.

    Args:
        email: the address.

    Returns:
        The URLs of the advanced and of the direct method (draft-koch, section 3.1).

    Raises:
        NotOnKeyserver: where it is no address.
    """
    local, _, domain = email.rpartition("@")
    try:
        if address(email) != email:
            raise ValueError("no e-mail address")
        domain = ascii_domain(domain)
    except ValueError as error:
        raise NotOnKeyserver(f"no directory is asked for {email!r}: {error}", value=email) from None
    # Lower case for ASCII letters only, as bytes know it. SHA-1 only spreads names here.
    name = z_base_32(hashlib.sha1(local.encode().lower(), usedforsecurity=False).digest())
    place, tail = ".well-known/openpgpkey", f"hu/{name}?l={quote(local, safe='')}"
    return (
        f"https://openpgpkey.{domain}/{place}/{domain}/{tail}",
        f"https://{domain}/{place}/{tail}",
    )


def upload_answer(text: str, fingerprint: str) -> dict[str, Any]:
    """Read what VKS answers to upload and request-verify.

    Args:
        text: the body of the answer.
        fingerprint: that of the key that was uploaded.

    Returns:
        ``token`` (a str), ``key_fpr`` and ``status`` (addresses, each with its state).

    Raises:
        KeyserverError: where it is no such object.
        KeyserverMismatch: where it speaks of another key.
    """
    answer = _json(text)
    if not isinstance(answer, dict) or not isinstance(answer.get("token"), str):
        raise KeyserverError("the keyserver's answer to an upload is not what VKS says")
    status = answer.get("status")
    if not isinstance(status, dict) or not all(isinstance(v, str) for v in status.values()):
        raise KeyserverError("the keyserver's answer to an upload has no states of addresses")
    if str(answer.get("key_fpr")).upper() != fingerprint.upper():
        raise KeyserverMismatch(
            f"{fingerprint} was uploaded, the keyserver speaks of {answer.get('key_fpr')!r}",
            hint="the keyserver may be hostile; no address was confirmed",
        )
    return answer


def verify_payload(
    answer: Mapping[str, Any], addresses: Iterable[str] = (), locale: Iterable[str] = ()
) -> dict[str, Any] | None:
    """Make the request for the mails that confirm addresses.

    Args:
        answer: what ``upload_answer`` gave.
        addresses: those to confirm; none means each that is not published yet.
        locale: languages for the mail, best first; none tells the server nothing of the user.

    Returns:
        The payload of request-verify, or None where no address waits to be confirmed.
    """
    waiting = [name for name, state in answer["status"].items() if state != "published"]
    wanted = tuple(addresses)
    chosen = [name for name in waiting if not wanted or any(same_address(name, w) for w in wanted)]
    if not chosen:
        return None
    payload: dict[str, Any] = {"token": answer["token"], "addresses": chosen}
    return payload | ({"locale": list(locale)} if locale else {})


async def look_up(network: Network, server: Keyserver, text: str) -> FoundKey:
    """Find one key on a keyserver, and check that it is the one.

    Args:
        network: what carries the request.
        server: whom to ask.
        text: a fingerprint, key id or address; see ``found_keys.query``.

    Returns:
        The key, as the server gave it.

    Raises:
        NotOnKeyserver: where the server does not have it.
        KeyserverMismatch: where it answers with anything but that one public key.
        KeyserverError: where it answers with an error, or with what is no key.
        TorUnavailable: where Tor does not reach it.
    """
    term = query(text)
    answer = _good(await _ask(network, "GET", server.look_up_url(term)), term.value)
    # In a thread, because a large answer takes long enough to check for other tasks to notice.
    return await in_thread(found_key, term, answer.body)


async def search(network: Network, server: Keyserver, text: str) -> str:
    """Return the URL of a key by its fingerprint, or "" where the server has none; see look_up."""
    try:
        return server.key_url((await look_up(network, server, text)).fingerprint)
    except NotOnKeyserver:
        return ""


async def raw_search(network: Network, server: Keyserver, text: str) -> str:
    """Return the text that a keyserver answers to a look-up, whatever it is; see look_up."""
    return (await _ask(network, "GET", server.look_up_url(query(text)))).text


async def upload(network: Network, server: Keyserver, key: str) -> str:
    """Upload an armored public key.

    Returns:
        The text of the answer: JSON from VKS, a page for people from HKP.

    Raises:
        KeyserverError: where the server refuses it, or would as it is too long.
        TorUnavailable: where Tor does not reach it.
    """
    if len(key) > MOST_UPLOADED:
        raise KeyserverError(
            f"the key has {len(key)} characters, keyservers take {MOST_UPLOADED}",
            hint="export it without the signatures of others (export-minimal)",
        )
    keytext = {"keytext": key}
    body = {"json": keytext} if server.interface is Interface.VKS else {"data": keytext}
    return _good(await _ask(network, "POST", server.upload_url, again=True, **body)).text


async def request_verify(
    network: Network, server: Keyserver, payload: Mapping[str, Any] | str
) -> str:
    """Ask for the mails that confirm addresses (VKS only).

    Args:
        network: what carries the request.
        server: whom to ask.
        payload: what ``verify_payload`` made, or its JSON text.

    Returns:
        The JSON text of the answer.

    Raises:
        KeyserverError: where the server refuses it; ValueError: where the text is no JSON.
    """
    if server.interface is not Interface.VKS:
        raise KeyserverError("an HKP server confirms no addresses", hint="use a VKS server")
    body = json.loads(payload) if isinstance(payload, str) else dict(payload)
    return _good(await _ask(network, "POST", server.verify_url, again=True, json=body)).text


async def publish(
    network: Network, server: Keyserver, key: str, fingerprint: str
) -> dict[str, Any]:
    """Upload an armored public key and ask for the mails that confirm its addresses.

    Returns:
        The server's last answer, see ``upload_answer``; of an HKP server only ``key_fpr`` and an
        empty ``status``, because there is nothing to confirm.
    """
    text = await upload(network, server, key)
    if server.interface is Interface.HKP:
        return {"key_fpr": fingerprint, "status": {}}
    answer = upload_answer(text, fingerprint)
    payload = verify_payload(answer)
    if payload is None:
        return answer
    return upload_answer(await request_verify(network, server, payload), fingerprint)


async def wkd_look_up(network: Network, email: str, **options: Any) -> tuple[FoundKey, ...]:
    """Find the keys of an address in the Web Key Directory of its domain.

    The direct method is tried where the advanced one leads nowhere.

    Args:
        network: what carries the requests.
        email: the address.
        options: more for the requests, as ``aiohttp.ClientSession.get`` takes it.

    Returns:
        The key, and where the directory has them the address's revoked ones beside it.

    Raises:
        NotOnKeyserver: where neither method finds a key.
        KeyserverMismatch: where a key does not carry the address, or is a secret one.
        KeyserverError: where the answer is an error, or no key.
        TorUnavailable: where Tor does not reach the domain.
    """
    term = Term(NameForm.EMAIL, email)
    advanced, direct = wkd_urls(email)
    try:
        answer = _good(await _ask(network, "GET", advanced, **options), email)
    except (NotOnKeyserver, NetworkError):
        answer = _good(await _ask(network, "GET", direct, **options), email)
    return await in_thread(found_keys, term, answer.body)


async def _ask(network: Network, method: str, url: str, **options: Any) -> Answer:
    try:
        return await network.fetch(method, url, **options)
    except TorUnavailable:
        raise
    except NetworkError as error:
        raise KeyserverError(error.message, hint=error.hint) from error


def _good(answer: Answer, value: str = "") -> Answer:
    if 200 <= answer.status < 300:
        return answer
    if answer.status == 404 and value:
        raise NotOnKeyserver(value=value)
    raise KeyserverError(
        f"the keyserver answers {answer.status}: {_words(answer.text)}",
        http_status=answer.status,
        retry_after=answer.retry_after,
        hint="try again later" if answer.status in (429, 503) else "",
    )


def _words(text: str) -> str:
    """Return the server's own explanation where it is short and plain."""
    try:
        said = _json(text)
    except KeyserverError:
        said = text.strip()
    if isinstance(said, dict):
        said = said.get("error") or said.get("message")
    plain = isinstance(said, str) and len(said) <= _SHORT and "<" not in said
    return str(said) if plain and said else "no reason given"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise KeyserverError("the keyserver's answer is no JSON") from None
