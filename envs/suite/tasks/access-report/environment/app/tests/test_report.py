import os
import subprocess

SCRIPT = os.path.join(os.getcwd(), "report.sh")


def line(path, status=200, size=100):
    return f'10.0.0.7 - ann [01/Mar/2024:10:00:00] "GET {path} HTTP/1.1" {status} {size}\n'


def report(tmp_path, text):
    log = tmp_path / "access.log"
    log.write_text(text)
    return subprocess.run(["bash", SCRIPT, str(log)], capture_output=True, text=True)


def test_requests_and_bytes(tmp_path):
    out = report(tmp_path, line("/a") + line("/b", size=50)).stdout.splitlines()
    assert out[0] == "requests 2" and out[2] == "bytes 150"


def test_errors(tmp_path):
    out = report(tmp_path, line("/a", 200, 512) + line("/b", 404) + line("/c", 500)).stdout.splitlines()
    assert out[1] == "errors 2"


def test_top_paths(tmp_path):
    out = report(tmp_path, line("/a") * 9 + line("/b") * 10 + line("/c?x=1")).stdout.splitlines()
    assert out[3:] == ["top", "10 /b", "9 /a", "1 /c"]


def test_unreadable_file():
    done = subprocess.run(["bash", SCRIPT, "/no/such/log"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr
