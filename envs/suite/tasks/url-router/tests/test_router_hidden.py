import itertools

import pytest

from router import MethodNotAllowed, NotFound, Router

ROUTES = [
    ("/<a>/<b>", "text text"),
    ("/<int:a>/<b>", "int text"),
    ("/x/<b>", "x text"),
    ("/x/y", "x y"),
    ("/<path:p>", "path"),
]


def make(routes):
    router = Router()
    for pattern, handler in routes:
        router.add(pattern, handler)
    return router


@pytest.mark.parametrize("order", list(itertools.permutations(ROUTES))[::7])
def test_order_of_registration_does_not_matter(order):
    router = make(order)
    assert router.find("GET", "/x/y") == ("x y", {})
    assert router.find("GET", "/x/z") == ("x text", {"b": "z"})
    assert router.find("GET", "/7/z") == ("int text", {"a": 7, "b": "z"})
    assert router.find("GET", "/q/z") == ("text text", {"a": "q", "b": "z"})
    assert router.find("GET", "/q/z/r") == ("path", {"p": "q/z/r"})


def test_going_back_to_a_worse_choice():
    router = make([("/users/me/settings", "settings"), ("/users/<id>/posts", "posts")])
    assert router.find("GET", "/users/me/posts") == ("posts", {"id": "me"})


def test_path_needs_at_least_one_segment():
    with pytest.raises(NotFound):
        make([("/files/<path:p>", "files")]).find("GET", "/files/")


def test_int_takes_digits_only():
    router = make([("/n/<int:n>", "n")])
    assert router.find("GET", "/n/007") == ("n", {"n": 7})
    for bad in ("-1", "1.5", "x", "²"):
        with pytest.raises(NotFound):
            router.find("GET", f"/n/{bad}")


def test_escaped_slash_is_no_separator():
    router = make([("/f/<name>", "f")])
    assert router.find("GET", "/f/a%2Fb%20c") == ("f", {"name": "a/b c"})


def test_method_is_looked_for_in_all_fitting_routes():
    router = Router()
    router.add("/a/<x>", "get", methods=("GET",))
    router.add("/a/b", "put", methods=("PUT",))
    assert router.find("GET", "/a/b") == ("get", {"x": "b"})
    with pytest.raises(MethodNotAllowed) as caught:
        router.find("POST", "/a/b")
    assert caught.value.allowed == ["GET", "PUT"]


def test_build_with_converters():
    router = Router()
    router.add("/u/<int:id>/<path:rest>", "h", name="u")
    assert router.build("u", id=5, rest="a b/c") == "/u/5/a%20b/c"
    with pytest.raises(KeyError):
        router.build("u", id=5)
    with pytest.raises(KeyError):
        router.build("other")


def test_build_and_find_agree():
    router = Router()
    router.add("/t/<x>", "t", name="t")
    for value in ("a/b", "ü", "100%", "a b"):
        assert router.find("GET", router.build("t", x=value)) == ("t", {"x": value})


def test_root_and_trailing_slash():
    router = make([("/", "root"), ("/a/", "a")])
    assert router.find("GET", "/") == ("root", {})
    assert router.find("GET", "/a") == ("a", {})
