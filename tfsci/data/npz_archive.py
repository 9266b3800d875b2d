"""Arrays in an ``.npz`` file, whole or a block of rows at a time, with their checksums checked.

NumPy's own reader parses every header anew, and takes an array whole or not at all.
"""

import contextlib
import functools
import io
import math
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

_CHUNK = 64 << 10
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_RAW = -15  # zlib's name for deflated data without a header
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, OverflowError)


class Member(NamedTuple):
    """An array of an archive, without its values.

    Attributes:
        info: What the archive says of it.
        start: Where its bytes, packed or not, begin in the file.
        head_bytes: Length of NumPy's header, which they begin with.
        shape: Of the array.
        fortran_order: Whether its first axis changes fastest.
        dtype: Of the array: real numbers, integers or booleans.
    """

    info: zipfile.ZipInfo
    start: int
    head_bytes: int
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype


class Archive:
    """The arrays of a file that is open.

    What it and its methods raise is for `naming` to put into words.

    Attributes:
        names: Of the arrays.
    """

    def __init__(self, file: BinaryIO):
        begin = file.read(2)
        if not begin:
            raise ValueError("empty (0 bytes); copy it again or remove it")
        if begin != b"PK":
            raise ValueError("no .npz file; write it with np.savez or remove it")
        infos = zipfile.ZipFile(file).infolist()
        self._file = file
        self._infos = {info.filename.removesuffix(".npy"): info for info in infos}
        self.names = sorted(self._infos)

    def member(self, name: str) -> Member:
        """Returns what an array is, from its header."""
        return _parse(*self._load(name, _CHUNK, _CHUNK))

    def read(self, name: str) -> np.ndarray:
        """Returns an array; it can't be written to."""
        info = self._infos[name]
        # A byte more than there should be shows that there are more.
        info, start, body = self._load(name, info.compress_size, info.file_size + 1)
        if len(body) != info.file_size or zlib.crc32(body) != info.CRC:
            raise zlib.error("its CRC differs")
        member = _parse(info, start, body)
        values = np.frombuffer(body, member.dtype, offset=member.head_bytes)
        return values.reshape(member.shape, order="F" if member.fortran_order else "C")

    def _load(self, name: str, packed: int, unpacked: int) -> tuple[zipfile.ZipInfo, int, bytes]:
        """Returns an entry, its place in the file, and its first bytes, up to these numbers."""
        info = self._infos[name]
        if info.flag_bits & 1 or info.compress_type not in _COMPRESSIONS:
            raise ValueError(
                f"{info.filename} is encrypted or compressed in a way that np.load does not "
                "write; write it with np.savez"
            )
        # The entry's own header ends with a name and extras that may differ from the directory's.
        self._file.seek(info.header_offset + 26)
        start = info.header_offset + 30 + sum(struct.unpack("<HH", self._file.read(4)))
        self._file.seek(start)
        body = self._file.read(packed)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            body = zlib.decompressobj(_RAW).decompress(body, unpacked)
        return info, start, body


def _parse(info: zipfile.ZipInfo, start: int, body: bytes) -> Member:
    """Understands the header that an array begins with, and refuses what can't be samples."""
    if body[:6] != np.lib.format.MAGIC_PREFIX:
        raise ValueError(f"{info.filename} is no array; write it with np.savez")
    counted = 2 if body[6:7] == b"\1" else 4
    head_bytes = 8 + counted + int.from_bytes(body[8 : 8 + counted], "little")
    shape, fortran_order, dtype = _header(body[:head_bytes])
    if dtype.kind not in "biuf":
        what = "a pickled (object) array" if dtype.hasobject else f"of type {dtype}"
        raise ValueError(f"{info.filename} is {what}; expected real numbers; save it as such")
    size = math.prod(shape)
    if size == 0 or min(shape, default=1) < 0:
        raise ValueError(f"{info.filename} has shape {shape}, no values; write it anew")
    if info.file_size != head_bytes + size * dtype.itemsize:
        raise zlib.error(f"{info.filename} has another size than its header says")
    return Member(info, start, head_bytes, shape, fortran_order, dtype)


@functools.lru_cache(maxsize=256)  # Files of one set share it, and NumPy takes 20 µs to parse it.
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    file = io.BytesIO(head)
    try:
        if np.lib.format.read_magic(file) == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        return np.lib.format.read_array_header_2_0(file)
    except Exception as error:  # Of several lines, or SyntaxError, or tokenize's.
        raise ValueError("has an array header that makes no sense; copy it again") from error


class _Entrance(NamedTuple):
    """Where a block can be read from.

    Attributes:
        place: Position in the file.
        crc: Of all that comes before.
        inflate: State of the decompressor there; None at the array's beginning, or if not deflated.
    """

    place: int
    crc: int
    inflate: "zlib._Decompress | None"


class Blocks:
    """The rows of an array that may be larger than memory: in any order, from any thread.

    A block can be entered once those before it were passed, as it takes their CRC and, if deflated,
    a copy of the decompressor. A later one passes those before it and lets them be entered: where
    each is read once, they are inflated once if in order, and at most twice otherwise. The array's
    CRC is checked when its last row is read.

    Attributes:
        rows: First row of each block and the one after its last.
    """

    def __init__(self, path: Path, member: Member, step: int):
        """Opens nothing.

        Args:
            path: The file.
            member: The array; not in Fortran order.
            step: Rows of a block; the last one may have fewer.
        """
        end = member.shape[0]
        self.rows = [(first, min(first + step, end)) for first in range(0, end, step)]
        self._path, self._member, self._step = path, member, step
        self._lock = threading.Lock()
        self._entrances = {0: _Entrance(member.start, 0, None)}

    def read(self, first: int) -> np.ndarray:
        """Returns the block that begins with this row, as it is stored."""
        member = self._member
        with self._lock, open(self._path, "rb") as file:
            entered = max(row for row in self._entrances if row <= first)
            for row in range(entered, first + 1, self._step):
                body = self._pass(file, row)
            # A copied decompressor and its input take 100 KB, and a block is mostly read once.
            if first:
                del self._entrances[first]
        values = body if first else body[member.head_bytes :]
        return values.view(member.dtype).reshape(-1, *member.shape[1:])

    def _pass(self, file: BinaryIO, first: int) -> np.ndarray:
        """Returns the bytes of a block, the header with those of the first; opens the next one."""
        member, last = self._member, min(first + self._step, self._member.shape[0])
        row_bytes = member.dtype.itemsize * math.prod(member.shape[1:])
        head_bytes = 0 if first else member.head_bytes
        place, crc, inflate = self._entrances[first]
        file.seek(place)
        body = np.empty(head_bytes + (last - first) * row_bytes, np.uint8)
        if member.info.compress_type == zipfile.ZIP_DEFLATED:
            inflate = inflate.copy() if inflate else zlib.decompressobj(_RAW)
            _inflate(file, inflate, memoryview(body))
        elif file.readinto(body) < len(body):
            raise zlib.error("it ends early")
        crc = zlib.crc32(body, crc)
        if last < member.shape[0]:
            self._entrances[last] = _Entrance(file.tell(), crc, inflate)
        elif crc != member.info.CRC:
            raise zlib.error("its CRC differs")
        return body


def _inflate(file: BinaryIO, inflate: "zlib._Decompress", into: memoryview) -> None:
    """Fills memory; what was read and not yet inflated stays with the decompressor."""
    filled = 0
    while filled < len(into):
        packed = inflate.unconsumed_tail or file.read(_CHUNK)
        if not packed or inflate.eof:
            raise zlib.error("it ends early")
        chunk = inflate.decompress(packed, min(len(into) - filled, _CHUNK))
        into[filled : filled + len(chunk)] = chunk
        filled += len(chunk)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file in front of errors, and words to those that damaged files raise.

    Raises:
        FileNotFoundError: It was one.
        ValueError: It was another one.
    """
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; list the folder anew") from None
    except OSError as error:
        raise ValueError(f"{path}: can't be read ({error.strerror}); check it") from error
    except _DAMAGED as error:
        raise ValueError(f"{path}: cut short or damaged ({error}); copy it again") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
