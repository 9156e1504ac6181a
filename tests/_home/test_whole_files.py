"""Files by themselves: a name appears with the whole content, or not at all, on any file system."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tiny_gnupg._home import whole_files
from tiny_gnupg._home.whole_files import plain_name, reading, refuse, rewind, whole_file, write_all

OPEN = os.open


def no_tmpfile_flag(patch: pytest.MonkeyPatch) -> None:
    """A system whose C library does not know O_TMPFILE."""
    patch.delattr(os, "O_TMPFILE")


def refusing(number: int) -> Callable[[pytest.MonkeyPatch], None]:
    """A file system that has no nameless files, and says so by an error of its own."""

    def patch_with(patch: pytest.MonkeyPatch) -> None:
        def refuse_nameless(path: Any, flags: int, *rest: Any, **more: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(number, os.strerror(number), path)
            return OPEN(path, flags, *rest, **more)

        patch.setattr(os, "open", refuse_nameless)

    return patch_with


def no_links(patch: pytest.MonkeyPatch) -> None:
    """FAT: neither nameless files nor hard links."""
    refusing(errno.EOPNOTSUPP)(patch)

    def refuse_link(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    patch.setattr(os, "link", refuse_link)


SYSTEMS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "nameless files": lambda patch: None,
    "no such flag": no_tmpfile_flag,
    "EOPNOTSUPP": refusing(errno.EOPNOTSUPP),
    "EINVAL": refusing(errno.EINVAL),
    "EISDIR": refusing(errno.EISDIR),
    "no hard links": no_links,
}


@pytest.fixture(params=list(SYSTEMS))
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    SYSTEMS[request.param](monkeypatch)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


async def write(
    target: Path,
    data: bytes,
    then: Callable[[], object] = lambda: None,
    *,
    replace: bool = False,
) -> None:
    """Write a file, and do one thing more before it gets its name."""
    async with whole_file(target, replace=replace) as fd:
        write_all(fd, data)
        then()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.usefixtures("system")
async def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    async with whole_file(target, replace=False) as fd:
        write_all(fd, b"first half, ")
        assert not target.exists()
        write_all(fd, b"second half")
        assert not target.exists()
    assert target.read_bytes() == b"first half, second half"
    assert names(tmp_path) == ["file"]


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, asyncio.CancelledError])
async def test_an_error_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    target = tmp_path / "file"
    for replace in (False, True):
        with pytest.raises(error):
            await write(target, b"half", fail, replace=replace)
        assert names(tmp_path) == []
    target.write_text("old")
    with pytest.raises(error):
        await write(target, b"half", fail, replace=True)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.usefixtures("system")
async def test_a_file_is_replaced_whole_where_that_is_asked(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(FileExistsError):
        await write(target, b"new")
    with target.open() as held:
        await write(target, b"new", replace=True)
        assert held.read() == "old", "who has it open reads on in the old one"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["file"]


@pytest.mark.usefixtures("system")
async def test_what_comes_in_between_is_not_replaced(tmp_path: Path) -> None:
    target, precious = tmp_path / "file", tmp_path / "precious"
    precious.write_text("mine")
    for appears in (lambda: target.write_text("his"), lambda: target.symlink_to(precious)):
        with pytest.raises(FileExistsError):
            await write(target, b"ours", appears)
        assert target.read_text() in ("his", "mine")
        target.unlink()
    assert precious.read_text() == "mine"
    assert names(tmp_path) == ["precious"]


@pytest.mark.usefixtures("system")
async def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    target, precious = tmp_path / "file", tmp_path / "precious"
    for replace in (False, True):
        for pointed in (precious, tmp_path / "nowhere", Path("file")):
            target.symlink_to(pointed)
            with pytest.raises(FileExistsError, match="symbolic link"):
                await write(target, b"x", replace=replace)
            assert target.is_symlink()
            target.unlink()
    assert names(tmp_path) == []
    precious.write_text("mine")
    await write(target, b"ours", lambda: target.symlink_to(precious), replace=True)
    assert not target.is_symlink(), "a link that came in between is replaced, not followed"
    assert (target.read_text(), precious.read_text()) == ("ours", "mine")


@pytest.mark.usefixtures("system", "umask")
async def test_permissions_are_those_that_were_asked_for(tmp_path: Path) -> None:
    for mode, expected in ((0o666, 0o640), (0o600, 0o600), (0o400, 0o400)):
        for replace in (False, True):
            target = tmp_path / f"{mode:o}{replace}"
            async with whole_file(target, mode=mode, replace=replace) as fd:
                assert os.fstat(fd).st_mode & 0o777 == expected, "also while it has no name"
                assert not os.get_inheritable(fd)
            assert target.stat().st_mode & 0o777 == expected


@pytest.mark.usefixtures("system")
async def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    for place, error in (
        ("missing/file", FileNotFoundError),
        ("file/file", NotADirectoryError),
        ("x" * 300, OSError),
    ):
        for replace in (False, True):
            with pytest.raises(error):
                await write(tmp_path / place, b"x", replace=replace)
    for replace, kind in ((False, FileExistsError), (True, IsADirectoryError)):
        with pytest.raises(kind):
            await write(tmp_path / "directory", b"x", replace=replace)
    assert names(tmp_path) == ["directory", "file"]


async def test_another_error_of_the_system_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
        refusing(number)(monkeypatch)
        with pytest.raises(OSError, match=os.strerror(number)):
            await write(tmp_path / "file", b"x")
    assert names(tmp_path) == []


async def test_of_two_writers_one_wins(tmp_path: Path) -> None:
    target = tmp_path / "file"
    contents = [bytes([number]) * 10_000 for number in range(8)]
    tries = await asyncio.gather(
        *(write(target, data) for data in contents), return_exceptions=True
    )
    assert sum(1 for one in tries if one is None) == 1
    assert all(one is None or isinstance(one, FileExistsError) for one in tries)
    await asyncio.gather(*(write(target, data, replace=True) for data in contents))
    assert target.read_bytes() in contents
    assert names(tmp_path) == ["file"]


async def test_a_relative_path_and_odd_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = ["name", "-", "--version", "a b\n", os.fsdecode(b"\xff"), ".hidden", "n" * 255]
    for name in odd:
        for replace in (False, True):
            await write(Path(name), name.encode(errors="surrogateescape"), replace=replace)
    assert names(tmp_path) == sorted(odd)


# -- reading -------------------------------------------------------------------------------


async def test_progress_begins_and_ends_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_files, "TICK", 0)
    source = tmp_path / "file"
    source.write_bytes(b"x" * 100)
    told: list[tuple[int, int]] = []
    async with reading(source, lambda done, total: told.append((done, total))) as fd:
        assert not os.get_inheritable(fd)
        while os.read(fd, 25):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    assert told == sorted(told)
    assert {done for done, _ in told} >= {25, 50, 75, 100}
    assert {total for _, total in told} == {100}


async def test_progress_of_what_failed_is_never_said_to_be_whole(tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"x" * 100)
    told: list[int] = []

    async def fail() -> None:
        async with reading(source, lambda done, _: told.append(done)):
            await asyncio.sleep(0)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        await fail()
    assert set(told) == {0}


async def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    for place, error in ((tmp_path, IsADirectoryError), (tmp_path / "x", FileNotFoundError)):
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(error):
            async with reading(place):
                pytest.fail("it was opened")
        assert set(os.listdir("/proc/self/fd")) == before


def test_a_second_run_begins_anew(tmp_path: Path) -> None:
    source, target = (os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in "ab")
    try:
        write_all(source, b"input")
        write_all(target, b"longer output")
        rewind(source, target)
        assert os.read(source, 99) == b"input"
        write_all(target, b"short")
        assert os.pread(target, 99, 0) == b"short"
        rewind(b"data needs no rewinding", None)
        rewind(None, None)
    finally:
        os.close(source)
        os.close(target)
    reader, writer = os.pipe()
    rewind(reader, None)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("name", "plain"),
    [("a.gpg", "a"), ("a.tar.PGP", "a.tar"), ("a.b.asc", "a.b"), ("d.gpg/a.asc", "d.gpg/a")],
)
def test_the_plain_name_is_that_without_the_ending(name: str, plain: str) -> None:
    assert plain_name(Path(name)) == Path(plain)


@pytest.mark.parametrize("name", ["a", "a.txt", ".gpg", "gpg", "a.gpg.bak", "a.sig", "d.gpg/a"])
def test_a_name_that_does_not_tell_is_no_guess(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        plain_name(tmp_path / name)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match="say output="):
        plain_name(tmp_path / name)


def test_refusing_says_why(tmp_path: Path) -> None:
    refuse(tmp_path / "free", replace=False)
    with pytest.raises(IsADirectoryError):
        refuse(tmp_path, replace=True)
    with pytest.raises(FileExistsError, match="there is such a file already"):
        refuse(tmp_path, replace=False)
