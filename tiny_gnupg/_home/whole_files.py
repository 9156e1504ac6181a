"""Files that appear whole or not at all.

What is written has no name until it is complete, so that neither an error nor a kill leaves half
a file behind. Nothing is ever written through a symbolic link.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

from tiny_gnupg._home.sinks import descriptor_of, is_sink, poured
from tiny_gnupg._process.pipes import CHUNK, readable
from tiny_gnupg._process.tasks import in_thread, uninterrupted

Progress = Callable[[int, int], object]


#: Where Linux shows the open files of a process, also those without a name (proc(5)).
OPEN_FILES = "/proc/self/fd"


#: Seconds between two reports of progress.
TICK = 0.1


#: Seconds between two times that a growing file is written to the disk.
SETTLE = 0.25


@asynccontextmanager
async def whole_file(target: Path, *, mode: int = 0o666, replace: bool) -> AsyncIterator[int]:
    """Return the descriptor of a file that gets its name where the block ends well.

    Args:
        target: its path; where a pipe or a device is there, it is written to where the block ends
            well.
        mode: its permissions, less the umask.
        replace: whether a file that is there may be replaced.

    Raises:
        FileExistsError: there is something, and it must not be replaced; or a symbolic link.
        OSError: the file cannot be made or written.
    """
    if is_sink(target):
        async with poured(target) as fd:
            yield fd
        return
    refuse(target, replace=replace)
    fd, draft = _open_draft(target, mode)
    try:
        async with _settling(fd):
            yield fd
        await uninterrupted(in_thread(_publish, fd, draft, target, replace))
        draft = None
    finally:
        os.close(fd)
        if draft is not None:
            draft.unlink(missing_ok=True)


@asynccontextmanager
async def _settling(fd: int) -> AsyncIterator[None]:
    """Have a file written to the disk while it grows, so that its end does not wait for that."""
    done = asyncio.Event()

    async def settle() -> None:
        while not done.is_set():
            try:
                async with asyncio.timeout(SETTLE):
                    await done.wait()
            except TimeoutError:
                with suppress(OSError):  # who publishes the file is told the same, and raises it
                    await in_thread(os.fdatasync, fd)

    async def settled() -> None:
        await task

    task = asyncio.ensure_future(settle())
    try:
        yield
    finally:
        done.set()
        await uninterrupted(settled())


def refuse(target: Path, *, replace: bool) -> None:
    """Refuse a path where something is that must not be replaced.

    Raises:
        FileExistsError: as it says.
        IsADirectoryError: it is one.
    """
    if target.is_symlink():
        raise FileExistsError(errno.EEXIST, "will not write through a symbolic link", str(target))
    if target.exists() and not replace:
        raise FileExistsError(errno.EEXIST, "there is such a file already", str(target))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a directory, no file", str(target))
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "what is there is no file", str(target))


def write_whole(target: Path, data: bytes, *, mode: int = 0o600, replace: bool = False) -> None:
    """Write a small file at once, for callers that are in a thread already.

    Args:
        target: its path.
        data: what it shall hold.
        mode: its permissions, less the umask.
        replace: whether a file that is there may be replaced.

    Raises:
        FileExistsError: there is something, and it must not be replaced; or a symbolic link.
        OSError: the file cannot be made or written.
    """
    refuse(target, replace=replace)
    fd, draft = _open_draft(target, mode)
    try:
        write_all(fd, data)
        _publish(fd, draft, target, replace)
    except BaseException:
        if draft is not None:
            draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def read_regular(source: Path, most: int) -> bytes:
    """Read a file of which nothing is known: no link is followed, no pipe or device is read.

    Args:
        source: its path.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read, is no regular file (EINVAL, ELOOP) or is larger (EFBIG).
    """
    try:
        fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "it is a symbolic link", str(source)) from error
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(source))
        # Its size tells before it is read; what is written meanwhile does not count.
        data = b"" if found.st_size > most else file.read(most + 1)
    if max(len(data), found.st_size) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes", str(source))
    return data


def _open_draft(target: Path, mode: int) -> tuple[int, Path | None]:
    """Open a file without a name in the target's directory; with one where that cannot be."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        if os.path.exists(OPEN_FILES):  # without it, no such file could get a name later
            return os.open(target.parent, flags | os.O_TMPFILE, mode), None
    except (AttributeError, IsADirectoryError):
        pass
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.EISDIR):
            raise
    draft = _beside(target)
    return os.open(draft, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), draft


def _beside(target: Path) -> Path:
    """Return a draft's path; not made of the target's name, which may be as long as one can be."""
    return target.with_name(f".tiny_gnupg.{secrets.token_hex(8)}")


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``, however the system cuts it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _publish(fd: int, draft: Path | None, target: Path, replace: bool) -> None:
    os.fsync(fd)
    if draft is None and not replace:
        _link(fd, target)
        return
    if draft is None:
        draft = _beside(target)
        _link(fd, draft)
    try:
        if replace:
            os.replace(draft, target)
        else:
            _claim(draft, target)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _claim(draft: Path, target: Path) -> None:
    """Return a draft its name, unless something has it."""
    try:
        os.link(draft, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
            raise
        # A file system without hard links (FAT): an empty file takes the name first.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.replace(draft, target)
    else:
        draft.unlink()


def _link(fd: int, target: Path) -> None:
    """Return a file without a name its name (open(2), O_TMPFILE)."""
    # Only with a directory's descriptor does Python ask the system to follow the link in /proc;
    # for an absolute path it has no other meaning.
    os.link(f"{OPEN_FILES}/{fd}", target, src_dir_fd=fd, follow_symlinks=True)


def rewind(source: object, target: int | None) -> None:
    """Begin anew on the files of a run that is made once more; anything else needs no rewinding."""
    if isinstance(source, int):
        with suppress(OSError):  # a pipe cannot go back
            os.lseek(source, 0, os.SEEK_SET)
    if target is not None:
        os.lseek(target, 0, os.SEEK_SET)
        os.ftruncate(target, 0)


def comes_once(source: object) -> bool:
    """Return whether an input cannot be read a second time, because it is a pipe or a terminal."""
    if not isinstance(source, int):
        return False
    try:
        os.lseek(source, 0, os.SEEK_CUR)
    except OSError:
        return True
    return False


#: What a file's name ends in when OpenPGP made it of another one (gpg's manual, --output).
ENDINGS = (".gpg", ".pgp", ".asc")


def plain_name(source: Path) -> Path:
    """Return the name of a file before it was encrypted.

    Raises:
        ValueError: the name does not tell.
        OSError: there is no such file.
    """
    if source.suffix.lower() not in ENDINGS:
        source.stat()
        raise ValueError(f"{source} ends in none of {', '.join(ENDINGS)}: say output=")
    return source.with_suffix("")


@asynccontextmanager
async def reading(source: Path, progress: Progress | None = None) -> AsyncIterator[int]:
    """Open a file for a child to read, and report how far that is.

    Args:
        source: its path.
        progress: called with the bytes read so far and the size in bytes, ten times a second and
            at the end; of a pipe, at the end alone and with zeros.

    Raises:
        OSError: it cannot be opened.
    """
    fd = _open_source(source)
    status, blocking = os.fstat(fd), os.get_blocking(fd)
    try:
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "is a directory, no file", str(source))
        if stat.S_ISFIFO(status.st_mode):
            await readable(fd)
        os.set_blocking(fd, True)
        total = status.st_size
        reporter = None
        if progress is not None and not comes_once(fd):  # how far a pipe is, nobody can tell
            reporter = asyncio.ensure_future(_report(fd, total, progress))
        try:
            yield fd
        finally:
            if reporter is not None:
                reporter.cancel()
                with suppress(asyncio.CancelledError):
                    await reporter
        if progress is not None:
            progress(total, total)
    finally:
        if stat.S_ISSOCK(status.st_mode):  # shared with whoever opened it
            os.set_blocking(fd, blocking)
        os.close(fd)


def unnamed(folder: str | os.PathLike[str] | None, *, in_memory: bool) -> IO[bytes]:
    """Open a file without a name, for its owner alone.

    Args:
        folder: where it lies; None is the system's, as ``TMPDIR`` says.
        in_memory: it lies in no folder, where the system can do that.
    """
    if in_memory:
        with suppress(AttributeError, OSError):  # another system than Linux, or a sandbox
            return open(os.memfd_create("tiny_gnupg"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0, dir=folder)


def _open_source(source: Path) -> int:
    """Open a file that is read; a socket that is open already, by its name there."""
    try:
        # To open a named pipe would wait for its writer, and hold up the event loop.
        return os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        number = descriptor_of(source)
        if error.errno != errno.ENXIO or number is None:
            raise
        return os.dup(number)


async def read_file(source: Path, most: int | None = None) -> bytes:
    """Read a file, or a pipe, so that a cancellation ends that.

    Args:
        source: its path.
        most: bytes that are enough.

    Raises:
        OSError: it cannot be opened or read.
    """
    import aiofiles  # it takes long to import

    read = bytearray()
    async with (
        reading(source) as given,
        read_again(given) as fd,
        aiofiles.open(fd, "rb", closefd=False) as file,
    ):
        while most is None or len(read) < most:
            piece = await uninterrupted(file.read(CHUNK))
            if not piece:
                break
            read += piece
    return bytes(read[:most])


@asynccontextmanager
async def read_again(fd: int) -> AsyncIterator[int]:
    """Give what can be read more than once: the file, or a copy without a name of what comes once.

    Args:
        fd: open for reading.
    """
    if not comes_once(fd):
        yield fd
        return
    os.set_blocking(fd, False)
    with unnamed(None, in_memory=False) as copy:
        while True:
            try:
                piece = os.read(fd, 2**18)
            except BlockingIOError:
                await readable(fd)
                continue
            if not piece:
                break
            copy.write(piece)
        copy.seek(0)
        yield copy.fileno()


async def _report(fd: int, total: int, progress: Progress) -> None:
    while True:
        # The child shares this descriptor's position: where it is, is what it has read.
        progress(min(os.lseek(fd, 0, os.SEEK_CUR), total), total)
        await asyncio.sleep(TICK)
