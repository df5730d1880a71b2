"""The server over HTTP, as a program of its own."""

import http.client
import json
import subprocess
import sys
import time

import pytest

PORT = 8096


@pytest.fixture(scope="module")
def get():
    server = subprocess.Popen([sys.executable, "app.py", str(PORT)], cwd="/app", stderr=subprocess.DEVNULL)

    def fetch(path):
        for _ in range(200):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.getheader("Content-Type"), answer.read().decode()
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise AssertionError("the server did not answer")

    yield fetch
    server.kill()
    server.wait()


def test_the_home_page_is_html(get):
    status, kind, text = get("/")
    assert status == 200 and kind.startswith("text/html")
    assert "größe" in text and "<beta>" not in text


def test_the_summary_is_json(get):
    status, kind, text = get("/summary")
    assert status == 200 and kind.startswith("application/json")
    assert json.loads(text) == {"up": 3, "all": 4}


def test_an_unknown_service_is_not_found(get):
    assert get("/service?name=nothing")[0] == 404
