import pytest

from router import MethodNotAllowed, NotFound, Router


@pytest.fixture
def router():
    r = Router()
    r.add("/users/<id>", "by name", name="user")
    r.add("/users/<int:id>", "by number")
    r.add("/users/me", "myself", methods=("GET", "PUT"))
    r.add("/files/<path:rest>", "files")
    return r


def test_plain_parameter(router):
    assert router.find("GET", "/users/ann") == ("by name", {"id": "ann"})


def test_static_beats_parameter(router):
    assert router.find("GET", "/users/me") == ("myself", {})


def test_int_converter(router):
    assert router.find("GET", "/users/17") == ("by number", {"id": 17})


def test_path_converter(router):
    assert router.find("GET", "/files/a/b.txt") == ("files", {"rest": "a/b.txt"})


def test_not_found(router):
    with pytest.raises(NotFound):
        router.find("GET", "/nowhere")


def test_method_not_allowed(router):
    with pytest.raises(MethodNotAllowed) as caught:
        router.find("POST", "/users/ann")
    assert caught.value.allowed == ["GET"]


def test_building(router):
    assert router.build("user", id="a b") == "/users/a%20b"
