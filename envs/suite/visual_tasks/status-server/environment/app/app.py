"""A status page: python3 app.py PORT"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SERVICES = {"mail": "up", "files": "up", "search <beta> & more": "down", "größe": "up"}
HEAD = "<!doctype html><html lang=en><meta charset=utf-8><title>Status</title><link rel=stylesheet href=/style.css>"
SCRIPT = """<script>
fetch("/sumary").then((answer) => answer.json()).then((found) => {
  const line = document.createElement("p");
  line.id = "updated";
  line.textContent = `${found.up} of ${found.all} are up`;
  document.body.append(line);
});
</script>"""


def home():
    rows = "".join(
        f"<tr class={state}><td><a href=/service?name={name}>{name}</a></td><td class=state>{state}</td></tr>"
        for name, state in SERVICES.items()
    )
    return f"{HEAD}<h1>Status</h1><table><tbody>{rows}</tbody></table>{SCRIPT}"


def service(name):
    return f"{HEAD}<h1>{name}</h1><p>{SERVICES[name]}</p><a href=/>All services</a>"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/":
            self.answer(home())
        elif path == "/service":
            self.answer(service(query.removeprefix("name=")))
        elif path == "/summary":
            up = sum(state == "down" for state in SERVICES.values())
            self.answer(json.dumps({"up": up, "all": len(SERVICES)}))
        elif path == "/style.css":
            self.answer(Path("style.css").read_text())
        else:
            self.send_error(404)

    def answer(self, text):
        body = text.encode("latin-1", "replace")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
