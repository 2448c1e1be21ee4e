import io
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from shared.exports import fernet
from shared.exports.errors import InvalidArchive, Tampered
from shared.exports.fernet import DataKey


def decrypt(token: list[bytes], key: DataKey) -> bytes:
    spool = io.BytesIO()
    length = fernet.spool_token(token, spool)
    fernet.verify(spool, length, key)
    return b"".join(fernet.decrypted(spool, length, key))


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(st.binary(max_size=300), st.integers(1, 50))
def test_the_library_reads_what_we_write_and_we_read_what_it_writes(plain: bytes, size: int) -> None:
    key = DataKey.fresh()
    library = Fernet(key.text)
    assert library.decrypt(b"".join(fernet.encrypt(cut(plain, size), key))) == plain
    assert decrypt(cut(library.encrypt(plain), size), key) == plain


def test_long_content_goes_both_ways() -> None:
    key, plain = DataKey.fresh(), bytes(range(256)) * 2000
    assert Fernet(key.text).decrypt(b"".join(fernet.encrypt(cut(plain, 70_001), key))) == plain
    assert decrypt(cut(Fernet(key.text).encrypt(plain), 65_536), key) == plain


def test_white_space_in_a_token_means_nothing() -> None:
    key = DataKey.fresh()
    token = b"\r\n".join(cut(Fernet(key.text).encrypt(b"wrapped"), 76)) + b"\n"
    assert decrypt([token], key) == b"wrapped"


@given(st.data())
def test_no_changed_token_is_accepted(data: st.DataObject) -> None:
    key = DataKey.fresh()
    token = bytearray(Fernet(key.text).encrypt(b"x" * 40))
    place = data.draw(st.integers(0, len(token) - 1))
    token[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != token[place] and byte not in b" \t\r\n"))
    with pytest.raises((InvalidArchive, Tampered)):
        decrypt([bytes(token)], key)


@given(st.binary(max_size=200), st.integers(1, 60))
def test_arbitrary_bytes_are_no_token(junk: bytes, size: int) -> None:
    with pytest.raises((InvalidArchive, Tampered)):
        decrypt(cut(junk, size), DataKey.fresh())


CHANGES: dict[str, Callable[[bytes], list[bytes]]] = {
    "shortened": lambda token: [token[:-24]],
    "other base64": lambda token: [token + b"+/"],
    "padding inside": lambda token: [token + b"=", b"AAAA"],
    "nothing": lambda token: [],
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_is_refused(change: str) -> None:
    key = DataKey.fresh()
    token = Fernet(key.text).encrypt(b"\xff" * 100)
    with pytest.raises((InvalidArchive, Tampered)):
        decrypt(CHANGES[change](token), key)


def test_another_key_is_refused() -> None:
    with pytest.raises(Tampered):
        decrypt([Fernet(Fernet.generate_key()).encrypt(b"x")], DataKey.fresh())


@pytest.mark.parametrize("text", [b"", b"short", b"!" * 44, b"A" * 48, b"A" * 42])
def test_a_data_key_is_32_bytes(text: bytes) -> None:
    with pytest.raises(InvalidArchive):
        DataKey(text)


def test_memory_does_not_grow_with_the_content() -> None:
    key = DataKey.fresh()

    class Sink(io.BytesIO):
        """Keeps the length only; what `verify` would read back is not what is measured."""

        def write(self, data: object, /) -> int:
            return len(data)  # type: ignore[arg-type]

    def chunks() -> Iterator[bytes]:
        for _ in range(400):
            yield b"x" * 50_000

    tracemalloc.start()
    try:
        assert fernet.spool_token(fernet.encrypt(chunks(), key), Sink()) > 20_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
