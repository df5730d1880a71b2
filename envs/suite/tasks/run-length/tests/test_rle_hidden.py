import random

import pytest

from rle import CodecError, decode, encode, pairs, ratio, runs


@pytest.mark.parametrize("length", [1, 2, 253, 254, 255, 256, 257, 509, 510, 511, 765, 1000])
def test_round_trip_of_one_run(length):
    data = b"z" * length
    assert decode(encode(data)) == data


@pytest.mark.parametrize("length", [1, 254, 255, 256, 510, 511])
def test_pairs_are_as_long_as_possible(length):
    counts = [count for count, _ in pairs(b"q" * length)]
    assert sum(counts) == length
    assert counts == [255] * ((length - 1) // 255) + [(length - 1) % 255 + 1]


def test_random_round_trips():
    rng = random.Random(3)
    for _ in range(30):
        data = b"".join(bytes([rng.randrange(4)]) * rng.choice([1, 2, 5, 255, 300]) for _ in range(6))
        assert decode(encode(data)) == data


def test_runs_cover_everything():
    assert runs(b"abbb") == [(1, 97), (3, 98)]
    assert runs(b"a") == [(1, 97)]
    assert runs(b"") == []


def test_exact_bytes():
    assert encode(b"\x01\x01\x02") == b"RL\x04\x02\x01\x01\x02"


@pytest.mark.parametrize("packed", [b"", b"RL", b"RL\x00\x01", b"LR\x00", b"RL\x05\x00\x05", b"RL\x07\x01\x05"])
def test_damaged(packed):
    with pytest.raises(CodecError):
        decode(packed)


def test_ratio():
    assert ratio(b"") == 1.0
    assert ratio(b"a" * 255) == 5 / 255
