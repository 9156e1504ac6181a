"""Answers of gpg as status lines alone: real ones of the facts, and any lines at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from hypothesis import strategies as st

from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._gpg.status import KEYWORDS, parse_status
from tiny_gnupg.errors import GnuPGError

FPR = "0123456789ABCDEF0123456789ABCDEF01234567"
KEY = FPR[-16:]
#: The lines of a good signature, and of an encrypted message that opens.
NEW = "NEWSIG alice@example.org"
GOOD = f"GOODSIG {KEY} Alice <alice@example.org>"
VALID = f"VALIDSIG {FPR} 2026-01-02 1767312000 0 4 0 22 10 00 {FPR}"
OPENED = ("BEGIN_DECRYPTION", f"ENC_TO {KEY} 18 0", "DECRYPTION_INFO 2 9 0")
OKAY = ("PLAINTEXT 62 0 name", "PLAINTEXT_LENGTH 1", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION")

_ARGUMENTS = st.one_of(
    st.sampled_from([FPR, KEY, "0", "1", "9", "16", "-1", "²", "67108875", "%41", "%zz", ""]),
    st.text(max_size=8),
)
#: What is asked for by its keyword alone, and what nobody knows.
_OTHERS = (
    *("NEWSIG", "NO_PUBKEY", "NO_SECKEY", "NOTATION_NAME", "NOTATION_DATA", "TRUST_FULLY"),
    *("BEGIN_DECRYPTION", "DECRYPTION_KEY", "DECRYPTION_OKAY", "DECRYPTION_FAILED", "GOODMDC"),
    *("BADMDC", "NEED_PASSPHRASE_SYM", "MISSING_PASSPHRASE", "BAD_PASSPHRASE", "END_ENCRYPTION"),
    *("SIG_CREATED", "INV_RECP", "INV_SGNR", "DELETE_PROBLEM", "KEY_CONSIDERED", "SUCCESS"),
    *("NODATA", "UNEXPECTED", "BADARMOR", "ERROR", "FAILURE", "EXPORT_RES", "SOMETHING_NEW", ""),
)
_LINES = st.lists(
    st.tuples(st.sampled_from([*KEYWORDS, *_OTHERS]), st.lists(_ARGUMENTS, max_size=12)),
    max_size=12,
)


def reply(*lines: str, code: int = 0, out: bytes = b"x", obstacle: str = "") -> Reply:
    """Return a reply with these status lines."""
    status = parse_status(
        "".join(f"[GNUPG:] {line}\n" for line in lines).encode(errors="surrogateescape")
    )
    return Reply(code, out, "gpg: what it tells people", status, "gpg", obstacle)


@st.composite
def any_replies(draw: st.DrawFn) -> Reply:
    """Make replies of any status lines, exit codes and outputs."""
    lines = [" ".join([keyword, *arguments]) for keyword, arguments in draw(_LINES)]
    code = draw(st.sampled_from([0, 0, 1, 2, -9]))
    return reply(*lines, code=code, out=draw(st.sampled_from([b"", b"x"])))


def judged(judge: Callable[[Reply], object], answer: Reply) -> None:
    """Let a judge give a result or an error of ours; any other error is a defect."""
    with suppress(GnuPGError):
        judge(answer)
