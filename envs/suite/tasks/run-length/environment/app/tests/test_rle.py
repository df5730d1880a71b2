import pytest

from rle import CodecError, checksum, decode, encode, runs


def test_short_round_trip():
    assert decode(encode(b"aaabcc")) == b"aaabcc"


def test_runs():
    assert runs(b"aab") == [(2, 97), (1, 98)]


def test_nothing():
    assert decode(encode(b"")) == b""


def test_long_run_round_trip():
    assert decode(encode(b"x" * 300)) == b"x" * 300


def test_bad_header():
    with pytest.raises(CodecError):
        decode(b"XX\x00")


def test_checksum_of_bytes():
    assert checksum(b"\xff\x02") == 1


def test_truncated():
    with pytest.raises(CodecError):
        decode(b"RL\x00\x01")
