"""Memory that the kernels of `inflate_lanes` reach by its address, and the bits of a stream in it.

numba counts the users of an array in every step of a loop, which takes longer than the step. With NUMBA_BOUNDSCHECK
the memory is an array of its true length after all, so that a test sees every index outside of it.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import config
from numba.extending import intrinsic

from runner.host.compiled import inlined

Memory = Any  # is indexed as an array is


class Stream(NamedTuple):
    """A zlib stream of `stop` bytes, and the `size` bytes of memory into which it is inflated."""

    stored: Memory
    stop: int
    tile: Memory
    size: int


def _pointer_to(kind: Any) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def pointer(_: Any, address: Any) -> Any:
        def cast(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], ir.IntType(kind.bitwidth).as_pointer())

        return types.CPointer(kind)(address), cast

    return pointer


_bytes, _entries, _numbers = (_pointer_to(kind) for kind in (types.uint8, types.uint32, types.int64))


@intrinsic  # type: ignore[untyped-decorator]
def _copy_16(_: Any, pointer: Any, target: Any, source: Any) -> Any:
    def copy(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        sixteen = ir.VectorType(ir.IntType(8), 16).as_pointer()
        to, origin = (builder.bitcast(builder.gep(arguments[0], [offset]), sixteen) for offset in arguments[1:])
        builder.store(builder.load(origin, align=1), to, align=1)

    return types.void(pointer, target, source), copy


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(_: Any, pointer: Any, offset: Any) -> Any:
    def fetch(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        number, place = ir.IntType(32), builder.gep(arguments[0], [arguments[1]])
        kind, name = ir.FunctionType(ir.VoidType(), [place.type, number, number, number]), "llvm.prefetch.p0"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(function, [place, number(0), number(3), number(1)])  # to be read, often, as data

    return types.void(pointer, offset), fetch


if config.BOUNDSCHECK:

    @inlined
    def bytes_at(address: int, length: int) -> Memory:
        """Memory of `length` bytes at an address. The caller keeps it alive."""
        return carray(_bytes(address), (length,))

    @inlined
    def entries_at(address: int, length: int) -> Memory:
        """Memory of `length` numbers of 32 bits."""
        return carray(_entries(address), (length,))

    @inlined
    def numbers_at(address: int, length: int) -> Memory:
        """Memory of `length` numbers of 64 bits."""
        return carray(_numbers(address), (length,))

    @inlined
    def copy_16(memory: Memory, target: int, source: int) -> None:
        """Copy 16 bytes within `memory` to a place at least 16 bytes further."""
        for index in range(16):
            memory[target + index] = memory[source + index]

    @inlined
    def prefetch(memory: Memory, offset: int) -> None:
        """Bring the memory at an offset, perhaps beyond its end, into the cache."""

else:

    @inlined
    def bytes_at(address: int, length: int) -> Memory:  # noqa: ARG001 - the other one needs it
        """Memory of `length` bytes at an address. The caller keeps it alive."""
        return _bytes(address)

    @inlined
    def entries_at(address: int, length: int) -> Memory:  # noqa: ARG001 - the other one needs it
        """Memory of `length` numbers of 32 bits."""
        return _entries(address)

    @inlined
    def numbers_at(address: int, length: int) -> Memory:  # noqa: ARG001 - the other one needs it
        """Memory of `length` numbers of 64 bits."""
        return _numbers(address)

    @inlined
    def copy_16(memory: Memory, target: int, source: int) -> None:
        """Copy 16 bytes within `memory` to a place at least 16 bytes further."""
        _copy_16(memory, target, source)

    @inlined
    def prefetch(memory: Memory, offset: int) -> None:
        """Bring the memory at an offset, perhaps beyond its end, into the cache."""
        _prefetch(memory, offset)


@inlined
def signed(number: Any) -> int:
    """A number as int64, in which Python's own are: numba makes a float of int64 and uint64 together."""
    return np.int64(number)  # type: ignore[return-value]


@inlined
def whole_word(stored: Memory, position: int) -> int:
    """57 bits or more from a position (in bits) on; the stream must have 8 bytes from there.

    The first bit of a byte is its lowest: RFC 1951 section 3.1.1. The compiler makes one load of the eight.
    """
    byte = position >> 3
    bits = (
        signed(stored[byte])
        | (signed(stored[byte + 1]) << 8)
        | (signed(stored[byte + 2]) << 16)
        | (signed(stored[byte + 3]) << 24)
        | (signed(stored[byte + 4]) << 32)
        | (signed(stored[byte + 5]) << 40)
        | (signed(stored[byte + 6]) << 48)
        | (signed(stored[byte + 7]) << 56)
    )
    return bits >> (position & 7)


@inlined
def word(stored: Memory, stop: int, position: int) -> int:
    """57 bits or more from a position (in bits) on, anywhere; they are 0 from byte `stop` on."""
    first = position >> 3
    bits = 0
    for byte in range(first, min(first + 8, stop)):
        bits |= signed(stored[byte]) << (8 * (byte - first))
    return bits >> (position & 7)
