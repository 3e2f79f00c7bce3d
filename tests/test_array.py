from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import SharedArray
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pydsm

SHAPE = (6, 4)


@pytest.fixture
def A() -> Iterator[pydsm.GlobalArray]:
    array = pydsm.create("A", SHAPE, float)
    array[:] = np.arange(24).reshape(SHAPE) + 0.5
    yield array
    pydsm.unlink("A")


# -- what NumPy does is what happens ---------------------------------------------------

indexes = hnp.basic_indices(SHAPE, allow_newaxis=True) | st.one_of(
    st.lists(st.integers(-6, 5), max_size=5),
    hnp.arrays(bool, SHAPE),
    hnp.arrays(bool, (6,)),
)
unary = st.sampled_from([np.negative, np.sqrt, np.isnan, np.sign, np.square])
binary = st.sampled_from([np.add, np.subtract, np.multiply, np.maximum, np.less, np.hypot])
reductions = st.sampled_from(["sum", "min", "max", "mean", "prod", "argmax", "any", "std", "cumsum"])
operands = st.one_of(st.integers(-3, 3), st.floats(-2, 2), hnp.arrays(float, (4,), elements=st.floats(-2, 2)))


def same(ours: Any, theirs: Any) -> None:
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert np.asarray(ours).dtype == np.asarray(theirs).dtype
    assert np.shape(ours) == np.shape(theirs)


def pair() -> tuple[pydsm.GlobalArray, np.ndarray]:
    plain = np.arange(24).reshape(SHAPE) + 0.5
    name = f"pair{os.getpid()}"
    shared = pydsm.create(name, SHAPE, float)
    pydsm.unlink(name)
    shared[:] = plain
    return shared, plain


@given(indexes)
def test_reading_an_index_is_numpys(index: Any) -> None:
    shared, plain = pair()
    same(shared[index], plain[index])


@given(indexes, st.floats(-9, 9))
def test_writing_an_index_is_numpys(index: Any, value: float) -> None:
    shared, plain = pair()
    shared[index] = value
    plain[index] = value
    same(shared, plain)


@given(unary, indexes)
def test_unary_functions_are_numpys_and_private(function: np.ufunc, index: Any) -> None:
    shared, plain = pair()
    result = function(shared[index])
    same(result, function(plain[index]))
    assert not isinstance(result, pydsm.GlobalArray)


@given(binary, operands, st.booleans())
def test_binary_functions_are_numpys_and_private(function: np.ufunc, other: Any, swapped: bool) -> None:
    shared, plain = pair()
    ours, theirs = ((other, shared), (other, plain)) if swapped else ((shared, other), (plain, other))
    result = function(*ours)
    same(result, function(*theirs))
    assert type(result) is np.ndarray


@pytest.mark.filterwarnings("ignore:(Mean of empty|Degrees of freedom|invalid value):RuntimeWarning")
@given(reductions, st.sampled_from([None, 0, 1]), indexes)
def test_reductions_are_numpys_and_private(name: str, axis: int | None, index: Any) -> None:
    shared, plain = pair()
    try:
        expected = getattr(plain[index], name)(axis=axis)
    except (ValueError, IndexError, AttributeError) as error:
        with pytest.raises(type(error)):
            getattr(shared[index], name)(axis=axis)
        return
    result = getattr(shared[index], name)(axis=axis)
    same(result, expected)
    assert not isinstance(result, pydsm.GlobalArray)


@given(binary.filter(lambda f: f is not np.less), operands, hnp.basic_indices(SHAPE, allow_ellipsis=False))
def test_in_place_operations_write_the_shared_memory(function: np.ufunc, other: Any, index: Any) -> None:
    shared, plain = pair()
    target = plain[index]
    if not isinstance(target, np.ndarray) or (np.ndim(other) and target.shape[-1:] != (4,)):
        return
    function(target, other, out=target)
    function(shared[index], other, out=shared[index])
    same(shared, plain)


# -- which results share memory, and which are private ----------------------------------

SHARED: dict[str, Callable[[Any], Any]] = {
    "slice": lambda a: a[1:3],
    "row": lambda a: a[2],
    "step": lambda a: a[::-2],
    "column": lambda a: a[:, 1],
    "newaxis": lambda a: a[None],
    "transpose": lambda a: a.T,
    "swapaxes": lambda a: a.swapaxes(0, 1),
    "reshape": lambda a: a.reshape(4, 6),
    "ravel": lambda a: a.ravel(),
    "view": lambda a: a.view(np.int64),
    "real": lambda a: a.real,
    "squeeze": lambda a: a[:1].squeeze(),
    "astype, same and copy=False": lambda a: a.astype(float, copy=False),
    "diagonal": lambda a: a.diagonal(),
    "conj of reals": lambda a: a.conj(),
}
PLAIN: dict[str, Callable[[Any], Any]] = {
    "arithmetic": lambda a: a + 1,
    "comparison": lambda a: a > 2,
    "sum over an axis": lambda a: a.sum(axis=0),
    "copy": lambda a: a.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "np.array": np.array,
    "np.copy": np.copy,
    "astype": lambda a: a.astype(int),
    "flatten": lambda a: a.flatten(),
    "take": lambda a: a.take([1, 2], axis=0),
    "repeat": lambda a: a.repeat(2),
    "round": lambda a: a.round(),
    "cumsum": lambda a: a.cumsum(),
    "np.cumsum": np.cumsum,
    "np.sort": np.sort,
    "argsort": lambda a: a.argsort(),
    "argmax": lambda a: a.argmax(axis=0),
    "argpartition": lambda a: a.argpartition(1),
    "searchsorted": lambda a: a[0].searchsorted([1, 2]),
    "trace": lambda a: a[None].trace(),
    "diff": lambda a: np.diff(a),
    "clip": lambda a: a.clip(1, 2),
    "np.pad": lambda a: np.pad(a, 1),
    "einsum": lambda a: np.einsum("ij->j", a),
    "fft": lambda a: np.fft.fft(a),
    "solve": lambda a: np.linalg.solve(np.eye(6), a),
    "dot": lambda a: a.T.dot(a),
    "matmul": lambda a: a.T @ a,
    "np.where": lambda a: np.where(a > 2, a, 0),
    "np.concatenate": lambda a: np.concatenate((a, a)),
    "np.stack": lambda a: np.stack([a, a]),
    "np.clip": lambda a: np.clip(a, 1, 2),
    "np.unique": np.unique,
    "np.zeros_like, subok=False": lambda a: np.zeros_like(a, subok=False),
    "np.linalg.norm rows": lambda a: np.linalg.norm(a, axis=1),
    "reshape that copies": lambda a: a.T.reshape(24),
    "compress": lambda a: a.compress([True, False], axis=0),
}
SCALARS: dict[str, Callable[[Any], Any]] = {
    "element": lambda a: a[1, 2],
    "sum": lambda a: a.sum(),
    "max": np.max,
    "mean": lambda a: a.mean(),
    "norm": np.linalg.norm,
    "0-d arithmetic": lambda a: a[1, ..., 2] + 1,
}
PRIVATE_BUT_SAME_CLASS: dict[str, Callable[[Any], Any]] = {
    "index list": lambda a: a[[1, 2]],
    "mask": lambda a: a[a > 3],
    "np.zeros_like": np.zeros_like,
}


@pytest.mark.parametrize("make", SHARED.values(), ids=SHARED)
def test_these_share_memory_and_locks(A: pydsm.GlobalArray, make: Callable[[Any], Any]) -> None:
    view = make(A)
    assert isinstance(view, pydsm.GlobalArray)
    assert np.shares_memory(view, A)
    assert view.name == "A"
    with view.locked():
        pass


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
def test_these_are_plain_private_arrays(A: pydsm.GlobalArray, make: Callable[[Any], Any]) -> None:
    result = make(A)
    assert type(result) is np.ndarray
    assert not np.shares_memory(result, A)


@pytest.mark.parametrize("make", SCALARS.values(), ids=SCALARS)
def test_these_are_scalars(A: pydsm.GlobalArray, make: Callable[[Any], Any]) -> None:
    assert isinstance(make(A), np.generic)


@pytest.mark.parametrize("make", PRIVATE_BUT_SAME_CLASS.values(), ids=PRIVATE_BUT_SAME_CLASS)
def test_these_are_private_though_of_the_class(A: pydsm.GlobalArray, make: Callable[[Any], Any]) -> None:
    result = make(A)
    assert type(result) is pydsm.GlobalArray
    assert not np.shares_memory(result, A)
    assert result.name is None
    with pytest.raises(TypeError, match="private copy"):
        result.locked()
    with pytest.raises(TypeError, match="private copy"):
        result.fence()
    assert type(pickle.loads(pickle.dumps(result))) is np.ndarray


def test_the_array_keeps_its_memory_alive() -> None:
    view = pydsm.create("kept", 1000, int)[10:20]
    pydsm.unlink("kept")
    view[:] = 7
    assert view.base.sum() == 70


def test_nothing_is_defined_on_the_paths_that_must_be_numpys() -> None:
    for name in ("__getitem__", "__setitem__", "__array_finalize__", "__array_ufunc__", "__array_function__"):
        assert name not in vars(pydsm.GlobalArray)


# -- creating and attaching --------------------------------------------------------------

DTYPES = [
    *"bBhHiIlLqQefdgFD?",
    ">i4",
    ">f8",
    "S5",
    "U3",
    ">U2",
    "V6",
    "M8[ns]",
    "m8[3D]",
    np.dtype([("x", "i4"), ("y", ">f8"), ("z", "S3", (2, 2))]),
    np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8], "itemsize": 24}),
    np.dtype([("nested", [("t", "M8[s]"), ("ok", "?")])], align=True),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(3, 2), (0,), (2, 0, 3)], ids=str)
def test_every_dtype_of_fixed_size_is_kept_exactly(dtype: Any, shape: tuple[int, ...]) -> None:
    A = pydsm.create("typed", shape, dtype)
    B = pydsm.attach("typed")
    pydsm.unlink("typed")
    assert A.dtype == B.dtype == np.dtype(dtype)
    assert A.shape == B.shape == shape
    same(A, np.zeros(shape, dtype))
    random = np.frombuffer(np.random.default_rng(1).bytes(A.nbytes), np.uint8)
    A.reshape(-1).view(np.ndarray)[:] = random.view(np.dtype(dtype)) if A.size else np.zeros(0, dtype)
    assert np.array(B).tobytes() == np.array(A).tobytes()
    with A.locked():
        pass


def test_fields_renamed_in_place_stay_ones_own() -> None:
    fields = [("a", "f8"), ("b", "i4")]
    A = pydsm.create("one", 3, fields)
    A.dtype.names = ("x", "y")
    B = pydsm.create("two", 3, fields)
    assert B.dtype.names == ("a", "b")
    pydsm.unlink("one")
    pydsm.unlink("two")


def test_a_subarray_dtype_adds_its_axes_as_in_numpy() -> None:
    A = pydsm.create("sub", 3, np.dtype((int, (2, 4))))
    assert (A.shape, A.dtype) == (np.zeros(3, np.dtype((int, (2, 4)))).shape, np.dtype(int))
    pydsm.unlink("sub")


def test_a_plain_dtype_can_be_attached_with_shared_array_alone() -> None:
    A = pydsm.create("plain", (3, 2), np.float32)
    B = SharedArray.attach(f"shm://pydsm.{A.namespace}.data.plain")
    B[1, 1] = 4
    assert A[1, 1] == 4
    assert (B.dtype, B.shape) == (A.dtype, A.shape)
    pydsm.unlink("plain")


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (("A", 3), FileExistsError, "taken"),
        (("A", 3), KeyError, "taken"),
        (("id", 3), KeyError, "reserved"),
        (("", 3), ValueError, "empty"),
        (("a" * 200, 3), ValueError, "bytes"),
        (("a/b/c", 3), ValueError, "'/'"),
        ((7, 3), TypeError, "string"),
        (("x", (3, -1)), ValueError, "negative"),
        (("x", -3), ValueError, "negative"),
        (("x", ()), ValueError, "at least one axis"),
        (("x", 2.5), TypeError, "int"),
        (("x", (2, "3")), TypeError, "int"),
        (("x", (1,) * 33), ValueError, "axes"),
        (("x", 3, object), TypeError, "one process only"),
        (("x", 3, np.dtype([("o", object)])), TypeError, "one process only"),
        (("x", 3, "V0"), TypeError, "no bytes"),
        (("x", 3, str), TypeError, "strings need a length"),
        (("x", 3, "nonsense"), TypeError, "nonsense"),
        (("x", 1 << 45), MemoryError, "does not fit"),
        (("x", (1 << 40, 1 << 40)), MemoryError, "larger than any memory"),
    ],
)
def test_bad_arguments_get_the_error_of_their_kind(
    A: pydsm.GlobalArray, arguments: tuple[Any, ...], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        pydsm.create(*arguments)


@pytest.mark.parametrize("options", [{"stripes": 0}, {"stripes": -1}, {"access": "secret"}])
def test_bad_options_are_value_errors(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="array 'x'"):
        pydsm.create("x", 3, **options)


def test_string_types_are_refused_where_elements_are_pointers() -> None:
    with pytest.raises(TypeError, match="one process only"):
        pydsm.create("x", 3, np.dtypes.StringDType())


def test_a_global_array_cannot_be_made_directly() -> None:
    with pytest.raises(TypeError, match=r"pydsm\.create"):
        pydsm.GlobalArray((3,))


def test_attaching_shares_memory_and_never_deletes(A: pydsm.GlobalArray) -> None:
    B = pydsm.attach("A")
    B[0] = -1
    assert (A[0] == -1).all()
    del B
    assert pydsm.attach(f"{A.namespace}/A").name == "A"


def test_an_unknown_name_lists_the_known_ones(A: pydsm.GlobalArray) -> None:
    with pytest.raises(FileNotFoundError, match="which has 'A'"):
        pydsm.attach("B")
    with pytest.raises(KeyError):
        pydsm.attach("B")
    with pytest.raises(KeyError):
        pydsm.unlink("B")
    with pytest.raises(FileNotFoundError, match="no namespace"):
        pydsm.attach("nowhere/A")


def test_a_damaged_lock_segment_is_refused(A: pydsm.GlobalArray) -> None:
    path = f"/dev/shm/pydsm.{A.namespace}.lock.A"
    with open(path, "r+b") as file:
        file.write(b"garbage!")
    with pytest.raises(pydsm.SegmentError, match="does not begin"):
        pydsm.attach("A")


def test_an_array_in_a_file_keeps_its_elements(tmp_path) -> None:
    path = tmp_path / "data"
    A = pydsm.create("filed", (4, 2), int, file=path)
    A[2] = 5
    assert pydsm.attach("filed")[2].tolist() == [5, 5]
    pydsm.unlink("filed")
    del A
    B = pydsm.create("again", (4, 2), int, file=path)
    assert B[2].tolist() == [5, 5]
    pydsm.unlink("again")
    with pytest.raises(pydsm.SegmentError):
        pydsm.create("other", (5, 2), int, file=path)


# -- handles -------------------------------------------------------------------------------

VIEWS: dict[str, Callable[[Any], Any]] = {
    "whole": lambda a: a,
    **{name: make for name, make in SHARED.items() if "astype" not in name},
    "nothing": lambda a: a[0:0],
    "0-d": lambda a: a[1, 2, ...],
}


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_a_pickled_view_is_a_handle(A: pydsm.GlobalArray, make: Callable[[Any], Any], protocol: int) -> None:
    view = make(A)
    data = pickle.dumps(view, protocol)
    again = pickle.loads(data)
    assert len(data) < 500
    same(again, view)
    assert again.strides == view.strides
    if view.size:
        assert np.shares_memory(again, A)
        assert again.locked().stripes().tolist() == view.locked().stripes().tolist()
    assert again.flags.writeable == view.flags.writeable


@pytest.mark.parametrize("dtype", ["M8[s]", ">i4", [("x", "i4"), ("y", "f8")]], ids=str)
def test_handles_of_other_dtypes_work(dtype: Any) -> None:
    A = pydsm.create("odd", 5, dtype)
    again = pickle.loads(pickle.dumps(A[1:4]))
    assert np.shares_memory(again, A)
    assert again.dtype == np.dtype(dtype)
    if A.dtype.names:
        assert np.shares_memory(pickle.loads(pickle.dumps(A["y"])), A["y"])
    pydsm.unlink("odd")


def test_a_stale_handle_says_so() -> None:
    data = pickle.dumps(pydsm.create("stale", 3))
    pydsm.unlink("stale")
    with pytest.raises(KeyError, match="no array or lock 'stale'"):
        pickle.loads(data)
    B = pydsm.create("stale", 3)
    with pytest.raises(pydsm.SegmentError, match="made anew"):
        pickle.loads(data)
    pydsm.unlink("stale")
    del B


def test_a_readonly_attachment_stays_one_through_pickling() -> None:
    pydsm.create("ro", 4, int, access="guarded")
    again = pickle.loads(pickle.dumps(pydsm.attach("ro", readonly=True)))
    with again.locked(1) as row:
        assert not row.flags.writeable
    pydsm.unlink("ro")


def test_a_readonly_view_stays_readonly_through_pickling(A: pydsm.GlobalArray) -> None:
    view = A[1:3]
    view.flags.writeable = False
    assert not pickle.loads(pickle.dumps(view)).flags.writeable
