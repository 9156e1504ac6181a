"""Which keys came in: what gpg's answer to an import means.

Pure: what gpg answered in, an ``ImportResult`` out, or an error raised. The rules live here, once:

1. An import succeeded for the keys that have an ``IMPORT_OK``; of a revocation certificate alone
   gpg says only which key it considered, with exit code 0.
2. An import of nothing is a failure, whatever the exit code; so is one of a gpg that was ended from
   outside, which has imported a part.
3. That the home could not be written goes before what is wrong with the keys. What that is, gpg
   tells people only, so that the keys themselves are asked (``_openpgp.faults``).
4. A block that was imported in several steps has one result: the counts are added up, but for the
   number of keys, because a later step goes over some of them once more. Those are the keys without
   user ids, also for a gpg that does not count them; that one of them got a placeholder for a
   moment, beside the user ids which it has here, is nothing new of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from tiny_gnupg._gpg.outcome import agent_failure, failure, system_failure
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._gpg.status import KEYWORDS
from tiny_gnupg._openpgp.placeholders import with_placeholders
from tiny_gnupg.errors import ImportFailed
from tiny_gnupg.results import ImportResult

_NEW_KEY, _NEW_USER_IDS, _NEW_SIGNATURES, _SECRET = 1, 2, 4, 16


def imported(*replies: Reply) -> ImportResult:
    """Judge an import.

    Args:
        replies: what gpg answered; several where one block was imported in several steps.

    Returns:
        The keys that gpg accepted, and its counts.

    Raises:
        ImportFailed: it accepted none.
        HomeUnusable: the keyring could not be written.
        AgentUnavailable: there was no agent for the secret keys.
    """
    for reply in replies:
        # The public parts came in before gpg needed the agent.
        if lacks_secret_keys(reply) and (agent := agent_failure(reply, "import secret keys")):
            raise agent
    accepted, counts = _added_up(replies)
    for reply in replies:
        stopped = reply.returncode < 0 or not accepted or counts.get("not_imported", 0)
        if stopped and (system := system_failure(reply, "import")):
            raise system
    if not accepted:
        last = replies[-1]
        if last.returncode and "can't lock" in last.stderr:
            raise failure(last, "import")
        raise ImportFailed(_why_nothing(replies[-1], counts), reply=replies[-1])
    flags = accepted.values()
    return ImportResult(
        fingerprints=tuple(accepted),
        imported=sum(1 for one in flags if one & _NEW_KEY),
        updated=sum(1 for one in flags if one & ~_SECRET and not one & _NEW_KEY),
        unchanged=sum(1 for one in flags if not one & ~_SECRET),
        secret_imported=counts.get("sec_imported", 0),
        no_user_id=counts.get("no_user_id", 0),
        counts=counts,
    )


def _added_up(replies: Sequence[Reply]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the flags of the accepted keys, by fingerprint, and the counts: rule 4."""
    accepted: dict[str, int] = {}
    counts: dict[str, int] = {}
    each = [import_counts(reply) for reply in replies]
    for reply, found in zip(replies, each, strict=True):
        for fingerprint, reasons in (_accepted(reply) or _revoked(reply, found)).items():
            new = reasons if reply is replies[0] or reasons & _NEW_KEY else reasons & ~_NEW_USER_IDS
            accepted[fingerprint] = accepted.get(fingerprint, 0) | new
        for name, number in found.items():
            counts[name] = counts.get(name, 0) + number
    first, *later = (found.get("count", 0) for found in each)
    counts["count"] = first
    counts["no_user_id"] = max(counts.get("no_user_id", 0), *later, 0)
    return accepted, counts


def lacks_secret_keys(reply: Reply) -> bool:
    """Return whether an import failed with secret keys that it read and did not bring in."""
    counts = import_counts(reply)
    brought = counts.get("sec_imported", 0) + counts.get("sec_dups", 0)
    return reply.returncode != 0 and counts.get("sec_read", 0) > brought


def left_out(reply: Reply, block: bytes) -> bytes:
    """Return the keys that an import of a block left out because they have no user id.

    Args:
        reply: what gpg answered.
        block: what was imported.

    Returns:
        The keys with our placeholder, for ``import_keys(placeholders=True)``; ``b""`` where none
        was left out.
    """
    # Debian's 2.4 does not count one that stands before a key which it cannot read.
    if reply.returncode == 0 and not import_counts(reply).get("no_user_id"):
        return b""
    return with_placeholders(block, _accepted(reply))


def gained_user_ids(reply: Reply) -> list[str]:
    """Return the fingerprints of keys that were there and gained a user id by an import."""
    found = _accepted(reply).items()
    return [fingerprint for fingerprint, reasons in found if reasons & _NEW_USER_IDS]


def import_counts(reply: Reply) -> dict[str, int]:
    """Return the fields of ``IMPORT_RES`` under the names that doc/DETAILS gives them."""
    names = [field.name for field in KEYWORDS["IMPORT_RES"]]
    numbers = next((status.args for status in reply.find("IMPORT_RES")), ())
    return {name: _count(value) for name, value in zip(names, numbers, strict=False)}


def _accepted(reply: Reply) -> dict[str, int]:
    """Return the flags of ``IMPORT_OK``, by fingerprint."""
    accepted: dict[str, int] = {}
    for fields in reply.fields("IMPORT_OK"):
        fingerprint = fields.get("fingerprint", "")
        accepted[fingerprint] = accepted.get(fingerprint, 0) | _count(fields.get("reason", ""))
    return accepted


def _revoked(reply: Reply, counts: dict[str, int]) -> dict[str, int]:
    """Return the keys of revocation certificates that came alone: they have no ``IMPORT_OK``."""
    if reply.returncode != 0 or not counts.get("count") or counts.get("no_user_id"):
        return {}
    # What comes behind the counts is gpg's look at the trust of its user's own keys.
    before = takewhile(lambda line: line.keyword != "IMPORT_RES", reply.status)
    considered = [line.args[0] for line in before if line.keyword == "KEY_CONSIDERED" and line.args]
    return dict.fromkeys(considered, _NEW_SIGNATURES if counts.get("n_revoc") else 0)


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _why_nothing(reply: Reply, counts: dict[str, int]) -> str:
    if counts.get("no_user_id", 0):
        return "nothing was imported: the key carries no user id that it signed itself"
    if reply.has("NODATA"):
        return "nothing was imported: this is no OpenPGP key that this gpg can read"
    return "nothing was imported: gpg took no key of it, and tells why to people only (.stderr)"
