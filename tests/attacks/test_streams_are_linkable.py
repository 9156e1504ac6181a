"""Requests of two identities over one Tor circuit: whoever sees its end sees that they belong."""

from __future__ import annotations

from tests.attacks.conftest import LIAR, Hostile


async def credentials(hostile: Hostile, isolate: bool, number: int) -> list[tuple[str, str]]:
    """Send some requests as ``number`` instances; return each one's SOCKS credentials."""
    seen = []
    for _ in range(number):
        gpg = await hostile.alice("the-truth", isolate=isolate)
        for _ in range(3):
            await gpg.get(f"http://{LIAR}/the-truth/x", headers={"Connection": "close"})
        used = {(asked.username, asked.password) for asked in hostile.proxy.asked}
        hostile.proxy.asked.clear()
        assert len(used) == 1
        seen.append(used.pop())
    return seen


async def test_two_instances_differ(hostile: Hostile) -> None:
    """Tor builds a circuit for each pair of SOCKS credentials (IsolateSOCKSAuth)."""
    seen = await credentials(hostile, True, 4)
    assert len(set(seen)) == 4
    assert len({password for _, password in seen}) == 4
    assert all(len(password) >= 16 for _, password in seen)


async def test_without_isolation_nothing_is_sent(hostile: Hostile) -> None:
    assert set(await credentials(hostile, False, 2)) == {("", "")}


async def test_credentials_tell_nothing_of_the_identity(hostile: Hostile) -> None:
    for username, password in await credentials(hostile, True, 2):
        for word in ("alice", "example", str(hostile.home)):
            assert word not in (username + password).lower()
