"""Sixteen lanes: LLVM vectors with Python's operators, for the inner loops that Numba cannot spell.

`@emitted` turns a function over an Emitter into a Numba intrinsic; it is called with arrays and whole numbers, and
sees pointers to their first elements and 64-bit values. All arithmetic keeps its written order, on every CPU.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

Index = Any
"""A whole number known when the kernel runs: an LLVM value of 64 bits."""

LANES = 16
LINE = 64  # bytes of a cache line
BYTE, HALF_WORD, WORD, LONG = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
FLOAT16, FLOAT32 = ir.HalfType(), ir.FloatType()
FLOATS, WORDS = ir.VectorType(FLOAT32, LANES), ir.VectorType(WORD, LANES)
BYTES, HALF_WORDS = ir.VectorType(BYTE, 4 * LANES), ir.VectorType(HALF_WORD, 2 * LANES)
_NARROW = ir.VectorType(HALF_WORD, LANES)
_FLOAT16S = ir.VectorType(FLOAT16, LANES)
_LOG2E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 0.693359375, -2.12194440e-4
_LOG = (
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)


def has_dot4() -> bool:
    """Whether this CPU multiplies and adds four bytes a lane in one instruction (AVX-512 VNNI)."""
    features = binding.get_host_cpu_features()
    return bool(features.get("avx512vnni") and features.get("avx512bw"))


def emitted(build: Callable[..., Any]) -> Any:
    """A Numba intrinsic that returns nothing, from `build(emitter, *arguments)`."""

    def define(_context: Any, *arguments: Any) -> tuple[Any, Callable[..., Any]]:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
            operands: list[Any] = []
            for kind, value in zip(signature.args, values, strict=True):
                if isinstance(kind, types.Array):
                    operands.append(Pointer(context.make_array(kind)(context, builder, value).data, str(kind.dtype)))
                elif isinstance(kind, types.Integer | types.Boolean):
                    operands.append(context.cast(builder, value, kind, types.int64))
                else:
                    operands.append(Lanes(builder, context.cast(builder, value, kind, types.float32)))
            build(Emitter(builder), *operands)
            return context.get_dummy_value()

        return types.void(*arguments), generate

    named = list(inspect.signature(build).parameters.values())
    define.__signature__ = inspect.Signature([named[0].replace(name="_context"), *named[1:]])  # type: ignore[attr-defined]
    return intrinsic(define)


class Pointer:
    """The first element of an array, and its element type's name."""

    def __init__(self, address: ir.Value, dtype: str) -> None:
        self.address = address
        self.dtype = dtype


class Lanes:
    """A vector (or a scalar) under construction; operators emit instructions."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder = builder
        self.value = value

    def _with(self, floating: str, whole: str, other: Lanes) -> Lanes:
        element = getattr(self.value.type, "element", self.value.type)
        name = floating if isinstance(element, ir.FloatType) else whole
        return Lanes(self.builder, getattr(self.builder, name)(self.value, other.value))

    def __add__(self, other: Lanes) -> Lanes:
        return self._with("fadd", "add", other)

    def __sub__(self, other: Lanes) -> Lanes:
        return self._with("fsub", "sub", other)

    def __mul__(self, other: Lanes) -> Lanes:
        return self._with("fmul", "mul", other)

    def __truediv__(self, other: Lanes) -> Lanes:
        return self._with("fdiv", "sdiv", other)

    def __and__(self, other: Lanes) -> Lanes:
        return self._with("and_", "and_", other)

    def __xor__(self, other: Lanes) -> Lanes:
        return self._with("xor", "xor", other)

    def __lshift__(self, other: Lanes) -> Lanes:
        return self._with("shl", "shl", other)

    def __rshift__(self, other: Lanes) -> Lanes:
        return self._with("lshr", "lshr", other)


class Variable:
    """A value that changes in a loop; LLVM keeps it in a register."""

    def __init__(self, builder: ir.IRBuilder, initial: Lanes) -> None:
        self.builder = builder
        self.place = cgutils.alloca_once(builder, initial.value.type)
        self.set(initial)

    def get(self) -> Lanes:
        return Lanes(self.builder, self.builder.load(self.place))

    def set(self, value: Lanes) -> None:
        self.builder.store(value.value, self.place)


class Emitter:
    """Writes one kernel. Indices are 64-bit values; `load` and `store` count in elements of what they move."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def at(self, *terms: Index | tuple[Index, Index]) -> Index:
        """The sum of indices, where a pair is a product."""
        total: Index = LONG(0)
        for term in terms:
            if isinstance(term, tuple):
                left, right = (LONG(factor) if isinstance(factor, int) else factor for factor in term)
                total = self.builder.add(total, self.builder.mul(left, right))
            else:
                total = self.builder.add(total, LONG(term) if isinstance(term, int) else term)
        return total

    @contextmanager
    def loop(self, count: Index) -> Iterator[Index]:
        """Emit a loop; yields its index."""
        with cgutils.for_range(self.builder, LONG(count) if isinstance(count, int) else count, intp=LONG) as loop:
            yield loop.index

    def variable(self, initial: Lanes) -> Variable:
        return Variable(self.builder, initial)

    def load(self, pointer: Pointer, index: Index, kind: ir.Type) -> Lanes:
        """A `kind` from `index` elements after `pointer`, unaligned."""
        address = self.builder.gep(pointer.address, [index])
        return Lanes(self.builder, self.builder.load(self.builder.bitcast(address, kind.as_pointer()), align=1))

    def prefetch(self, pointer: Pointer, index: Index) -> None:
        """Ask for the cache line `index` elements after `pointer`, which may lie past the end."""
        address = self.builder.bitcast(self.builder.gep(pointer.address, [index]), BYTE.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), WORD, WORD, WORD])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0i8")
        self.builder.call(function, [address, WORD(0), WORD(3), WORD(1)])

    def store(self, value: Lanes, pointer: Pointer, index: Index) -> None:
        address = self.builder.gep(pointer.address, [index])
        self.builder.store(value.value, self.builder.bitcast(address, value.value.type.as_pointer()), align=1)

    def quotient(self, index: Index, divisor: int) -> Index:
        return self.builder.sdiv(index, LONG(divisor))

    def difference(self, left: Index, right: Index) -> Index:
        return self.builder.sub(left, right)

    def least(self, index: Index, bound: int) -> Index:
        return self.builder.select(self.builder.icmp_signed("<", index, LONG(bound)), index, LONG(bound))

    def long(self, pointer: Pointer, index: Index) -> Index:
        """One int64 of an array."""
        return self.load(pointer, index, LONG).value

    def scalar(self, pointer: Pointer, index: Index) -> Lanes:
        """One fp32 of an array."""
        return self.load(pointer, index, FLOAT32)

    def zero(self) -> Lanes:
        """The scalar 0."""
        return Lanes(self.builder, FLOAT32(0.0))

    def as_float(self, index: Index) -> Lanes:
        """A whole number as fp32, in every lane."""
        return self.splat(Lanes(self.builder, self.builder.sitofp(index, FLOAT32)))

    def floats(self, pointer: Pointer, index: Index) -> Lanes:
        """16 numbers as fp32, from fp32 or from bf16 (kept as uint16)."""
        return self.wide_floats(pointer, index) if pointer.dtype == "float32" else self.narrow_floats(pointer, index)

    def wide_floats(self, pointer: Pointer, index: Index) -> Lanes:
        """16 fp32 numbers."""
        return self.load(pointer, index, FLOATS)

    def narrow_floats(self, pointer: Pointer, index: Index) -> Lanes:
        """16 bf16 numbers as fp32."""
        wide = self.builder.zext(self.load(pointer, index, _NARROW).value, WORDS)
        return Lanes(self.builder, self.builder.bitcast(self.builder.shl(wide, self._all(WORDS, 16)), FLOATS))

    def narrowed(self, number: Lanes) -> Lanes:
        """A scalar fp32 as the 16 bits of a bf16, rounded to nearest even."""
        bits = self.builder.bitcast(number.value, WORD)
        odd = self.builder.and_(self.builder.lshr(bits, WORD(16)), WORD(1))
        rounded = self.builder.add(bits, self.builder.add(odd, WORD(0x7FFF)))
        return Lanes(self.builder, self.builder.trunc(self.builder.lshr(rounded, WORD(16)), HALF_WORD))

    def words(self, pointer: Pointer, index: Index) -> Lanes:
        """16 whole numbers of 32 bits."""
        return self.load(pointer, index, WORDS)

    def floats_where(self, condition: Index, pointer: Pointer, index: Index) -> Lanes:
        """16 fp32 numbers, or zeros where `condition` is 0."""
        wanted = self.builder.icmp_signed("!=", condition, LONG(0))
        number = self.wide_floats(pointer, index).value
        return Lanes(self.builder, self.builder.select(wanted, number, self.number(0.0).value))

    def where_above(self, value: Lanes, bound: float, result: Lanes) -> Lanes:
        """`result` in lanes whose `value` is above `bound`, else 0."""
        above = self.builder.fcmp_ordered(">", value.value, self._all(FLOATS, bound))
        return Lanes(self.builder, self.builder.select(above, result.value, self._all(FLOATS, 0.0)))

    def above(self, left: Lanes, right: Lanes) -> Lanes:
        """One bit a lane: whether `left` is above `right`; never with NaN."""
        return Lanes(self.builder, self.builder.fcmp_ordered(">", left.value, right.value))

    def chosen(self, condition: Lanes, left: Lanes, right: Lanes) -> Lanes:
        """`left` in lanes whose bit of `condition` is set, else `right`."""
        return Lanes(self.builder, self.builder.select(condition.value, left.value, right.value))

    def packed(self, condition: Lanes) -> Lanes:
        """The bits of a condition as one number of 16, first lane lowest."""
        return Lanes(self.builder, self.builder.bitcast(condition.value, HALF_WORD))

    def unpacked(self, pointer: Pointer, index: Index) -> Lanes:
        """A condition from 16 bits, first lane lowest."""
        bits = self.load(pointer, index, HALF_WORD).value
        return Lanes(self.builder, self.builder.bitcast(bits, ir.VectorType(ir.IntType(1), LANES)))

    def float16s(self, pointer: Pointer, index: Index) -> Lanes:
        """16 fp16 numbers as fp32."""
        return Lanes(self.builder, self.builder.fpext(self.load(pointer, index, _FLOAT16S).value, FLOATS))

    def number(self, value: float) -> Lanes:
        """A constant in every lane."""
        return Lanes(self.builder, self._all(FLOATS, value))

    def whole(self, value: int) -> Lanes:
        return Lanes(self.builder, self._all(WORDS, value))

    def ramp(self) -> Lanes:
        """0 to 15."""
        return Lanes(self.builder, ir.Constant(WORDS, list(range(LANES))))

    def word(self, index: Index) -> Lanes:
        """The lowest 32 bits of a whole number, in every lane."""
        return self.splat(Lanes(self.builder, self.builder.trunc(index, WORD)))

    def splat(self, scalar: Lanes) -> Lanes:
        """One number in all 16 lanes."""
        kind = ir.VectorType(scalar.value.type, LANES)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar.value, WORD(0))
        return Lanes(self.builder, self.builder.shuffle_vector(first, first, ir.Constant(WORDS, [0] * LANES)))

    def first(self, value: Lanes) -> Lanes:
        """The first lane, as a scalar."""
        return Lanes(self.builder, self.builder.extract_element(value.value, WORD(0)))

    def fma(self, left: Lanes, right: Lanes, addend: Lanes) -> Lanes:
        """`left * right + addend`, rounded once."""
        return self._call("llvm.fma.v16f32", FLOATS, left, right, addend)

    def maximum(self, left: Lanes, right: Lanes) -> Lanes:
        return self._call("llvm.maxnum.v16f32", FLOATS, left, right)

    def minimum(self, left: Lanes, right: Lanes) -> Lanes:
        return self._call("llvm.minnum.v16f32", FLOATS, left, right)

    def magnitude(self, value: Lanes) -> Lanes:
        return self._call("llvm.fabs.v16f32", FLOATS, value)

    def root(self, value: Lanes) -> Lanes:
        return self._call("llvm.sqrt.v16f32", FLOATS, value)

    def rounded(self, value: Lanes) -> Lanes:
        """To the nearest whole number, ties to even, as fp32."""
        return self._call("llvm.roundeven.v16f32", FLOATS, value)

    def to_words(self, value: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fptosi(value.value, WORDS))

    def to_floats(self, value: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.sitofp(value.value, FLOATS))

    def to_bytes(self, value: Lanes) -> Lanes:
        """The lowest byte of each lane: 16 bytes."""
        return Lanes(self.builder, self.builder.trunc(value.value, ir.VectorType(BYTE, LANES)))

    def folded(self, value: Lanes, join: Callable[[Lanes, Lanes], Lanes]) -> Lanes:
        """All lanes joined into one scalar, halves first: the order is fixed."""
        for width in (8, 4, 2, 1):
            order = [(lane + width) % LANES for lane in range(LANES)]
            turned = self.builder.shuffle_vector(value.value, value.value, ir.Constant(WORDS, order))
            value = join(value, Lanes(self.builder, turned))
        return self.first(value)

    def exp(self, value: Lanes) -> Lanes:
        """e to the power of each lane, within 2 ulp; below -87 and above 88 as at the bounds (Cephes' expf)."""
        value = self.maximum(self.minimum(value, self.number(88.0)), self.number(-87.0))
        power = self.rounded(value * self.number(_LOG2E))
        rest = self.fma(power, self.number(-_LN2_HIGH), value)
        rest = self.fma(power, self.number(-_LN2_LOW), rest)
        series = self.number(_EXP[0])
        for factor in _EXP[1:]:
            series = self.fma(series, rest, self.number(factor))
        result = self.fma(series, rest * rest, rest + self.number(1.0))
        exponent = (self.to_words(power) + self.whole(127)) << self.whole(23)
        return result * Lanes(self.builder, self.builder.bitcast(exponent.value, FLOATS))

    def log(self, value: Lanes) -> Lanes:
        """Natural logarithm of each lane, which must be positive and normal, within 2 ulp (Cephes' logf)."""
        bits = Lanes(self.builder, self.builder.bitcast(value.value, WORDS))
        exponent = self.to_floats((bits >> self.whole(23)) - self.whole(126))
        half = (bits & self.whole(0x7FFFFF)) + self.whole(0x3F000000)
        mantissa = Lanes(self.builder, self.builder.bitcast(half.value, FLOATS))
        small = self.above(self.number(0.707106781186547524), mantissa)
        exponent = self.chosen(small, exponent - self.number(1.0), exponent)
        rest = self.chosen(small, mantissa + mantissa, mantissa) - self.number(1.0)
        series = self.number(_LOG[0])
        for factor in _LOG[1:]:
            series = self.fma(series, rest, self.number(factor))
        square = rest * rest
        result = series * rest * square
        result = self.fma(exponent, self.number(_LN2_LOW), result)
        result = self.fma(square, self.number(-0.5), result)
        return self.fma(exponent, self.number(_LN2_HIGH), rest + result)

    def dot4(self, total: Lanes, unsigned: Lanes, signed: Lanes) -> Lanes:
        """`total` plus, in each 32-bit lane, the four products of unsigned and signed bytes: exact on any CPU."""
        if has_dot4():
            return self._call("llvm.x86.avx512.vpdpbusd.512", WORDS, total, unsigned, signed)
        for byte in range(4):
            low = (unsigned >> self.whole(8 * byte)) & self.whole(255)
            high = signed << self.whole(24 - 8 * byte)
            total = total + low * Lanes(self.builder, self.builder.ashr(high.value, self._all(WORDS, 24)))
        return total

    def _call(self, name: str, kind: ir.Type, *values: Lanes) -> Lanes:
        shape = ir.FunctionType(kind, [value.value.type for value in values])
        function = cgutils.get_or_insert_function(self.builder.module, shape, name)
        return Lanes(self.builder, self.builder.call(function, [value.value for value in values]))

    def _all(self, kind: ir.VectorType, value: float) -> ir.Constant:
        return ir.Constant(kind, [kind.element(value)] * kind.count)
