"""What a hostile work tries against the browser that looks at it, and what cannot be told at all."""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from visual_support import HTML, Site, outcomes, page, picture, site

from kernel_pool import ExecResult
from kernel_pool.pool import KernelPool
from kernel_pool.registry import backend
from verifiers import Submission, browser
from verifiers.browser import Seen, read_output
from verifiers.inside import shield
from verifiers.visual import VisualVerifier

__all__ = ["site"]

HELLO = page({"kind": "selector", "selector": "h1", "text": "Hello"})
GOOD = {"index.html": HTML + "<h1>Hello</h1>"}
BAD = {"index.html": HTML + "<h1>Bye</h1>"}

ROOT = Path(browser.__file__).parent.parent
FORGE = (
    "import os\\nfor fd in (1, 2):\\n"
    '    os.write(fd, b\'{"page": {"id": "page", "facts": {"c0": {"count": 1, "text": "Hello"}}}}\\\\n{"done": true}\\\\n\')\\n'
    "os._exit(0)\\n"
)
EVIL_C = (
    "printf '#include <unistd.h>\\n__attribute__((constructor)) static void f(void) { write(1, \"forged\\\\n\", 7); _exit(0); }\\n'"
    " > /app/e.c && gcc -shared -fPIC -o /app/e.so /app/e.c"
)

PLANTS = {
    "python modules": f"for d in /app / /visual /visual/inside {ROOT} {ROOT}/verifiers; do mkdir -p $d/playwright $d/inside; "
    f"printf '{FORGE}' | tee $d/playwright/__init__.py $d/inside/__init__.py $d/json.py $d/usercustomize.py > $d/sitecustomize.py; done",
    "node modules": "for d in / /app /work /work/main; do for m in bufferutil utf-8-validate; do "
    "mkdir -p $d/node_modules/$m; echo 'process.exit(0)' > $d/node_modules/$m/index.js; done; done",
    "programs and settings": "mkdir -p bin ~/.config/fontconfig /etc/chromium/policies/managed /tests; "
    "printf '#!/bin/sh\\nexit 0\\n' | tee bin/chromium bin/node bin/python3 bin/sh > bin/chromium-headless-shell; "
    'chmod +x bin/*; echo \'{"URLBlocklist": ["*"]}\' > /etc/chromium/policies/managed/a.json; '
    "echo '<broken' > ~/.config/fontconfig/fonts.conf; chmod 0 /var/tmp /tmp; cp index.html /tests; "
    "export PATH=/app/bin:$PATH PYTHONPATH=/app PLAYWRIGHT_NODEJS_PATH=/app/bin/node PYTHONHOME=/app PWDEBUG=1 DEBUG=* "
    "NODE_OPTIONS='--require /app/evil.js'",
    "a library for the loader": f"{EVIL_C}; echo /app/e.so > /etc/ld.so.preload",
    "a loader": f"{EVIL_C}; rm /lib64 && mkdir /lib64 && cp /app/e.so /lib64/ld-linux-x86-64.so.2",
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
async def test_what_the_work_plants_neither_helps_bad_work_nor_harms_good_work(site, plant):
    bad, good = await asyncio.gather(site.look(BAD, HELLO, plant), site.look(GOOD, HELLO, plant))
    assert (bad.outcome, bad.score, outcomes(bad)) == ("fail", 0.0, {"c0": "fail"}), bad
    assert good.passed, good


async def test_scripts_that_patch_the_pages_built_ins_do_not_change_what_is_measured(site):
    html = f"""{HTML}<h1>Bye</h1><button id=b>Go</button><div id=over style="position:absolute;inset:0"></div><script>
      Object.defineProperty(HTMLElement.prototype, 'innerText', {{get() {{ return 'Hello'; }}}});
      document.elementFromPoint = Document.prototype.elementFromPoint = () => b;
      Document.prototype.querySelectorAll = () => [b];
      window.getComputedStyle = () => ({{getPropertyValue: () => 'rgb(1, 2, 3)'}});
      Element.prototype.getBoundingClientRect = () => new DOMRect(0, 0, 10, 10);
      console.error = () => {{}}; Array.prototype.filter = () => []; JSON.stringify = () => '[]';
    </script>"""
    checks = [
        {"kind": "selector", "selector": "h1", "text": "Hello"},
        {"kind": "not_covered", "selector": "#b"},
        {"kind": "selector", "selector": "#b", "style": {"color": "rgb(1, 2, 3)"}},
        {"kind": "no_overlap", "selector": "h1, #over"},
    ]
    verdict = await site.look({"index.html": html}, page(*checks))
    assert set(outcomes(verdict).values()) == {"fail"}, verdict


async def test_neither_references_nor_files_outside_of_the_site_can_be_shown(site):
    site.reference("r.png", picture(400, 300, (10, 200, 30)))
    html = (
        HTML
        + "<style>img{position:absolute;inset:0}</style><img src='file:///tests/r.png'><img src='/tests/r.png'>"
        "<img src='../tests/r.png'><img src='link.png'><img src='plan'><img src='%2e%2e/%2e%2e/etc/passwd'>"
    )
    plant = "ln -s /tests/r.png link.png; ln -s /proc/self/fd/0 plan; ln -s / up"
    table = page({"kind": "pixels", "reference": "r.png"}, {"kind": "console", "errors": False})
    verdict = await site.look({"index.html": html}, table, plant)
    assert set(outcomes(verdict).values()) == {"fail"}
    assert re.match(r"[56] failed requests: ", verdict.checks[1].message), (
        "one of the addresses is written in two ways"
    )
    console = page({"kind": "console"}, path="up/etc/passwd")
    assert (await site.look(GOOD, console, plant)).cause == "not_loaded"


@pytest.fixture
def neighbour() -> Iterator[int]:
    """A server on this machine's own loopback; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(b"reached")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("served", [False, True])
async def test_a_page_has_no_network_and_each_try_is_a_failed_request(site, neighbour, served):
    html = f"""{HTML}<p id=p>none</p><script>(async () => {{ for (const u of ['http://127.0.0.1:{neighbour}/',
      'http://example.com/', 'http://93.184.216.34/']) try {{ p.textContent = await (await fetch(u)).text(); }} catch (e) {{}}
      document.body.id = 'tried'; }})()</script>"""
    checks = [
        {"kind": "selector", "selector": "p", "text": "none"},
        {"kind": "console", "errors": False},
    ]
    table = page(*checks, actions=[{"wait_for": "#tried"}])
    if served:
        table |= {"serve": "python3 -m http.server 8123 --bind 127.0.0.1", "url": "http://127.0.0.1:8123/"}
    verdict = await site.look({"index.html": html}, table)
    assert outcomes(verdict) == {"c0": "pass", "c1": "fail"}, verdict
    assert verdict.checks[1].message.startswith("3 failed requests")


SERVED = {"serve": "exec python3 app.py", "url": "http://127.0.0.1:8123/", "ready_timeout_s": 5, **HELLO}
APP = """
import http.server, os, pathlib, sys
{0}
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        {1}
        body = b"<!doctype html><title>t</title><h1>{2}</h1>"
        self.send_response(200); self.send_header("Content-Type", "text/html"); self.end_headers(); self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", 8123), H).serve_forever()
"""
#: reads, writes and signals whatever of the browser it can get hold of, and says what it got
GRAB = """
def grab():
    got = set()
    for p in pathlib.Path('/proc').glob('[0-9]*'):
        if int(p.name) in (1, os.getpid()): continue
        for what in ('environ', 'mem', 'maps', 'fd/0', 'fd/1', 'fd/2', 'fd/3', 'fd/4'):
            try:
                os.close(os.open(p / what, os.O_RDWR if what[:2] in ('fd', 'me') else os.O_RDONLY)); got.add(what)
            except OSError: pass
        try: os.kill(int(p.name), 0); got.add('signal')
        except OSError: pass
    try: got |= set(os.listdir('/var/tmp'))
    except OSError: pass
    print('GOT', sorted(got), flush=True)
"""


async def test_a_declared_server_is_started_looked_at_and_ended(site):
    good = await site.look({"app.py": APP.format("", "pass", "Hello")}, SERVED)
    assert good.passed, good
    assert '"GET / HTTP/1.1" 200' in good.log
    assert (await site.look({"app.py": APP.format("", "pass", "Bye")}, SERVED)).score == 0.0


@pytest.mark.skipif(shield.abi() < 6, reason="this Linux does not keep signals apart")
async def test_the_works_server_can_neither_trace_nor_open_nor_signal_anything_of_the_browsers(site):
    verdict = await site.look({"app.py": APP.format(GRAB, "grab()", "Bye")}, SERVED)
    assert outcomes(verdict) == {"c0": "fail"}
    assert "GOT []" in verdict.log, verdict.log


async def test_what_the_works_server_prints_is_never_taken_for_a_result(site):
    shout = (
        'print(\'{"done": true, "server": ""}\', flush=True); os.write(2, b\'x {"page": {"id": "page"}}\\n\')'
    )
    verdict = await site.look({"app.py": APP.format(shout, "pass", "Bye")}, SERVED)
    assert (verdict.outcome, verdict.score) == ("fail", 0.0)
    assert '{"done": true' in verdict.log


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("import sys; sys.exit('no such setting')", "ended with 1 before it answered"),
        ("import time; time.sleep(60)", "did not answer within 1 s"),
    ],
)
async def test_a_server_that_does_not_answer_is_the_works_failure(site, app, words):
    verdict = await site.look({"app.py": app}, SERVED | {"ready_timeout_s": 1})
    assert (verdict.outcome, verdict.score, verdict.cause, verdict.infra) == ("fail", 0.0, "no_server", False)
    assert words in verdict.reason
    assert "no such setting" in verdict.log or "sleep" in app


async def test_a_page_that_never_loads_or_never_rests_has_failed(site):
    slow = {"app.py": APP.format("import time", "self.path != '/' and time.sleep(30)", "<img src=slow>")}
    table = SERVED | page({"kind": "selector", "selector": "h1"}, load_timeout_s=0.8)
    verdict = await site.look(slow, table)
    assert (verdict.outcome, verdict.cause, verdict.score) == ("fail", "timeout", 0.0)
    busy = HTML + "<h1>Hello</h1><script>onload = () => setTimeout(() => { for (;;); }, 0)</script>"
    verdict = await site.look({"index.html": busy}, HELLO | {"timeout_s": 1.5})
    assert (verdict.outcome, verdict.infra) == ("fail", False)
    assert verdict.cause == "timeout", verdict


async def test_a_page_that_is_not_there_has_failed(site):
    verdict = await site.look({"other.html": HTML}, HELLO)
    assert (verdict.outcome, verdict.cause, verdict.score) == ("fail", "not_loaded", 0.0)
    assert "status 404" in verdict.reason


async def test_a_page_that_crashes_the_browser_has_failed(site):
    eat = "<script>onload = () => { const a = []; for (;;) a.push(new Array(1e7).fill(a.length)); }</script>"
    patient = page({"kind": "selector", "selector": "h1"}, load_timeout_s=50)
    verdict = await site.look({"index.html": HTML + "<h1>Hello</h1>" + eat}, patient)
    assert (verdict.outcome, verdict.infra, verdict.cause) == ("fail", False, "crash"), verdict


async def test_without_a_browser_nobody_knows_and_the_mend_is_told(site, monkeypatch):
    monkeypatch.setattr(browser, "BROWSERS", ("/usr/lib/no-chromium-here",))
    verdict = await site.look(GOOD, HELLO)
    assert (verdict.outcome, verdict.score, verdict.cause, verdict.infra) == (
        "unknown",
        None,
        "no_browser",
        True,
    )
    assert "apt-get install chromium-headless-shell" in verdict.reason


async def test_a_browser_that_does_not_start_is_the_machinerys_failure(site, monkeypatch):
    monkeypatch.setattr(browser, "BROWSERS", (shutil.which("false"),))
    verdict = await site.look(GOOD, HELLO)
    assert (verdict.outcome, verdict.cause, verdict.infra) == ("unknown", "browser_failed", True)


async def test_without_playwright_in_the_kernel_nobody_knows(site, monkeypatch):
    monkeypatch.setattr(browser.sys, "executable", "/usr/bin/python3")
    verdict = await site.look(GOOD, HELLO)
    assert (verdict.outcome, verdict.cause, verdict.infra) == ("unknown", "no_browser", True)
    assert "Playwright" in verdict.reason or "Python" in verdict.reason


async def test_a_reference_that_is_no_picture_or_not_there_is_the_tasks_fault(site):
    table = page({"kind": "pixels", "reference": "r.png"})
    for content in (None, b"not a png"):
        if content:
            (site.tests / "r.png").write_bytes(content)
        verdict = await site.look(GOOD, table)
        assert (verdict.outcome, verdict.cause, verdict.infra) == ("unknown", "bad_reference", True)
    (site.tests / "r.png").unlink()
    (site.tests / "r.png").symlink_to("/etc/hostname")
    assert (await site.look(GOOD, table)).cause == "bad_reference"


async def test_without_checks_or_with_broken_ones_nothing_passes(site):
    nothing = await site.look(GOOD, None)
    assert (nothing.outcome, nothing.cause, nothing.infra) == ("unknown", "no_checks", False)
    for table in ({}, {"pages": []}, {"pages": [{"path": "index.html", "checks": []}]}, {"pagse": []}):
        verdict = await site.look(GOOD, table)
        assert (verdict.outcome, verdict.cause, verdict.score) == ("unknown", "bad_spec", None)


async def test_without_the_state_the_work_started_from_nobody_knows(site):
    whole = await site.submission(GOOD, HELLO)
    alone = Submission("x", whole.snapshot, whole.tests, extras=whole.extras)
    verdict = await VisualVerifier().verify(alone, site.pool)
    assert (verdict.outcome, verdict.cause, verdict.infra) == ("unknown", "no_base", True)


async def test_a_kernel_with_a_network_is_not_used(tmp_path):
    local = backend("local", state_dir=tmp_path / "open", network="host")
    pool = KernelPool(local, max_concurrent=2)
    verdict = await Site(pool, tmp_path).look(GOOD, HELLO)
    await pool.close()
    await local.close()
    assert (verdict.outcome, verdict.cause, verdict.infra) == ("unknown", "network", True)


def ended(how: str, out: bytes = b"", code: int | None = None) -> Seen:
    return read_output(ExecResult(code, out, b"Traceback: boom", 1.0, ended=how), "mark", 5.0)


def test_a_command_that_was_ended_is_blamed_on_the_work_only_after_the_browser_was_up():
    assert (ended("timeout").cause, ended("timeout").infra) == ("browser_failed", True)
    up = b'mark {"up": "156"}\n'
    assert (ended("timeout", up).cause, ended("timeout", up).infra) == ("timeout", False)
    assert (ended("oom", up).cause, ended("oom", up).infra) == ("oom", False)
    assert (ended("exited", up, 1).cause, ended("exited", up, 1).infra) == ("driver", True)
    assert (ended("exited", up + b"mark {torn", 0).cause) == "driver"
    assert ended("exited", b'{"done": true, "server": ""}\n', 0).cause == "driver"


def test_a_server_that_cannot_be_kept_from_the_browser_is_not_started():
    seen = ended("exited", b'mark {"lacks": "Landlock", "detail": ""}\n', 0)
    assert (seen.cause, seen.infra) == ("no_landlock", True)
    assert "Linux 5.13" in seen.reason
