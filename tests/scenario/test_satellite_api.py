"""The satellite's local HTTP API, on both databases: what it does, what it refuses, that it is as its document says."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from conftest import ROOT, SLOW
from test_satellite import database, made, node, satellite, start, wait_until  # noqa: F401  (fixtures)

TOOL = ROOT / ".venv" / "bin" / "st"
FULL = os.environ.get("ACRE_FULL") == "1"


class Api:
    def __init__(self, directory):
        self.dir = directory
        self.address = (directory / "admin-address").read_text().strip()
        self.token = (directory / "admin-token").read_text().strip()

    def ask(self, method, path, body=None, token=None, headers=None):
        """Status, body (of JSON: decoded) and headers."""
        connection = http.client.HTTPConnection(self.address, timeout=60 * SLOW)
        head = {"Authorization": "Bearer " + (self.token if token is None else token)}
        if body is not None:
            head["Content-Type"] = "application/json"
            body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        connection.request(method, path, body, {**head, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.headers.get("Content-Type") == "application/json":
            text = json.loads(text)
        return answer.status, text, answer.headers

    def ok(self, method, path, body=None):
        status, answer, _ = self.ask(method, path, body)
        assert status in (200, 201, 204), (method, path, status, answer)
        return answer


@pytest.fixture
def running(made, start):  # noqa: F811
    process = start("acre-satellite", made, "--admin-address", "127.0.0.1:0")
    process.serving()
    return process


@pytest.fixture
def api(running):
    return Api(running.dir)


def rows(*args):
    return json.loads(satellite(*args, "--json").stdout)


def test_off_unless_asked_for(made, start):  # noqa: F811
    process = start("acre-satellite", made)
    process.serving()
    assert not (made / "admin-address").exists()
    assert (made / "admin-token").stat().st_mode & 0o777 == 0o600
    assert process.stop() == 0


def test_what_the_commands_do(made, api):
    of = ["--dir", made, "--project", "p"]
    made_project = api.ok("POST", "/v1/projects", {"name": "p"})
    assert api.ok("GET", "/v1/projects") == rows("project", "list", "--dir", made)
    assert made_project["id"] == rows("project", "list", "--dir", made)[0]["id"]
    key = api.ok("POST", "/v1/projects/p/apikeys", {"name": "a key/100%", "auditable": True})["api_key"]
    by_id = "/v1/projects/" + made_project["id"]
    assert api.ok("GET", by_id + "/apikeys") == rows("apikey", "list", *of)
    name = "/v1/projects/p/apikeys/a%20key%2F100%25"
    api.ok("PATCH", name, {"rate": 5, "rate_burst": None})
    api.ok("PATCH", "/v1/projects/p", {"max_storage": 10 ** 12, "rate": None, "versioning": True, "disabled": False})
    shown, = api.ok("GET", "/v1/projects")
    assert [shown] == rows("project", "list", "--dir", made)
    assert shown["max_storage"] == 10 ** 12 and shown["rate"] is None and shown["versioning"] and not shown["disabled"]
    assert [(k["rate"], k["rate_burst"]) for k in api.ok("GET", by_id + "/apikeys")] == [(5, None)]
    api.ok("PUT", "/v1/projects/p/limits/apikeys/a%20key%2F100%25",
           {"storage": 1000, "spend_micro_dollars": 2500001, "monthly": True})
    limit, = api.ok("GET", "/v1/projects/p/limits")
    assert [limit] == rows("limit", "list", *of)
    assert limit["max_spend_micro_dollars"] == 2500001 and limit["max_storage"] == 1000 and limit["max_egress"] is None
    api.ok("POST", "/v1/apikeys/register", {"api_key": key})
    api.ok("POST", "/v1/apikeys/revoke", {"api_key": key})
    assert api.ok("GET", "/v1/projects/p/apikeys")[0]["revoked"] == 1
    assert api.ok("GET", "/v1/projects/p/buckets") == [] == api.ok("GET", "/v1/nodes")
    assert api.ok("GET", "/v1/usage") == rows("usage", "--dir", made)
    used, = api.ok("GET", "/v1/usage/apikeys")
    assert [used] == rows("usage", "--dir", made, "--key") and used["apikey"] == "a key/100%" and used["stored"] == 0
    assert api.ok("GET", "/v1/check") == rows("check", "--dir", made)
    api.ok("DELETE", name)
    assert api.ask("DELETE", name)[0] == 404


def test_what_the_commands_of_placements_do(made, api):
    api.ok("POST", "/v1/projects", {"name": "p"})
    api.ok("PUT", "/v1/placements/7", {"name": "home", "countries": "EU,!HU"})
    api.ok("PUT", "/v1/placements/3", {"name": "all"})
    api.ok("PUT", "/v1/placements/5", {"name": "gold", "tags": "tier=gold,!old=yes", "shared_networks": True})
    assert api.ask("PUT", "/v1/placements/6", {"name": "x", "tags": "gold"})[0] == 400
    assert [(p["tags"], p["shared_networks"]) for p in api.ok("GET", "/v1/placements") if p["number"] == 5] == [
        ("tier=gold,!old=yes", True)]
    api.ok("PUT", "/v1/placements/5", {"name": "near", "continents": "EU,!AS", "operators": "0xAb,!me@my.org",
                                       "max_storage_price_micro_dollars": 1500000, "max_egress_price_micro_dollars": None})
    near = [p for p in api.ok("GET", "/v1/placements") if p["number"] == 5][0]
    assert near == {"number": 5, "name": "near", "countries": "", "continents": "EU,!AS", "operators": "0xAb,!me@my.org",
                    "max_storage_price_micro_dollars": 1500000, "max_egress_price_micro_dollars": None, "tags": "",
                    "shared_networks": False}
    for wrong in ({"continents": "DE"}, {"operators": "a b"}, {"max_storage_price_micro_dollars": 0},
                  {"max_egress_price_micro_dollars": -1}, {"max_egress_price_micro_dollars": "1"}):
        assert api.ask("PUT", "/v1/placements/6", {"name": "x", **wrong})[0] == 400, wrong
    api.ok("DELETE", "/v1/placements/5")
    assert api.ok("GET", "/v1/placements") == rows("placement", "list", "--dir", made)
    assert [(p["number"], p["countries"]) for p in api.ok("GET", "/v1/placements")] == [(3, ""), (7, "EU,!HU")]
    api.ok("PATCH", "/v1/projects/p", {"placement": 7})
    for method, path, body, status in [
            ("PUT", "/v1/placements/4", {"name": "home"}, 409), ("PUT", "/v1/placements/0", {"name": "a"}, 400),
            ("PUT", "/v1/placements/65536", {"name": "a"}, 400), ("PUT", "/v1/placements/x", {"name": "a"}, 400),
            ("PUT", "/v1/placements/4", {}, 400), ("PUT", "/v1/placements/4", {"name": "a", "countries": "X"}, 400),
            ("DELETE", "/v1/placements/7", None, 409), ("DELETE", "/v1/placements/4", None, 404),
            ("PATCH", "/v1/projects/p", {"placement": 4}, 404), ("PATCH", "/v1/projects/p", {"placement": None}, 400),
            ("PATCH", "/v1/projects/p/buckets/none", {"placement": 7}, 404),
            ("PATCH", "/v1/projects/p/buckets/none", {}, 400)]:
        assert api.ask(method, path, body)[0] == status, (method, path, body)
    api.ok("PATCH", "/v1/projects/p", {"placement": 0})
    api.ok("DELETE", "/v1/placements/7")
    assert [p["number"] for p in api.ok("GET", "/v1/placements")] == [3]


def test_what_the_commands_of_audit_repair_and_books_do(made, api, start, tmp_path):  # noqa: F811
    url = satellite("url", "--dir", made).stdout.strip()
    start("acre-node", node(tmp_path / "node", url))
    wait_until(lambda: api.ok("GET", "/v1/nodes"))
    here = ["--dir", made]
    standing, = api.ok("GET", "/v1/standing")
    assert [standing] == rows("node", "list", *here) and standing["state"] == "new"
    name = "/v1/nodes/" + standing["id"]
    assert api.ok("GET", name) == rows("node", "show", *here, standing["id"])
    api.ok("POST", name + "/disqualify")
    assert api.ok("GET", name)["state"] == "disqualified"
    api.ok("POST", name + "/reinstate")
    assert api.ok("GET", name)["state"] == "new" and len(api.ok("GET", name)["events"]) == 2
    assert api.ok("GET", "/v1/audits") == rows("audit", "list", *here) == {"results": [], "contained": []}
    assert api.ok("GET", name + "/audits") == rows("audit", "list", *here, "--node", standing["id"])
    assert api.ok("POST", "/v1/audits", {"segments": 3}) == []
    assert api.ask("POST", "/v1/audits", {"segments": 101})[0] == 400
    assert api.ok("GET", "/v1/repairs") == rows("repair", "list", *here)
    runs = {c["name"]: c["runs"] for c in api.ok("GET", "/v1/chores")}
    assert api.ask("POST", "/v1/repairs", {})[0] == 202 and api.ask("POST", "/v1/repairs", {"all": True})[0] == 202
    for chore in ("segment-loop", "repair-all"):
        wait_until(lambda: next(c for c in api.ok("GET", "/v1/chores") if c["name"] == chore)["runs"] > runs[chore])
    month = time.strftime("%Y-%m", time.gmtime(time.time() - 40 * 24 * 3600))
    assert api.ok("POST", "/v1/statements/" + month, {"surge_percent": 150})["month"] == month
    assert api.ok("GET", "/v1/statements") == rows("statement", "list", *here)
    assert api.ok("GET", "/v1/statements/" + month) == rows("statement", "list", *here, "--month", month)
    assert api.ok("GET", name + "/statements") == rows("statement", "list", *here, "--node", standing["id"])
    assert api.ok("GET", "/v1/reports/" + month) == rows("report", *here, "--month", month)
    assert api.ok("GET", f"/v1/reports/{month}/apikeys") == rows("report", *here, "--month", month, "--key")
    api.ok("POST", "/v1/projects", {"name": "p"})
    assert api.ok("GET", f"/v1/projects/p/reports/{month}") == []
    assert api.ok("GET", f"/v1/projects/p/reports/{month}/apikeys") == []
    assert api.ask("GET", f"/v1/projects/other/reports/{month}")[0] == 404
    for path in (name[:-1], "/v1/nodes/x", name + "x"):
        assert api.ask("GET", path)[0] == 404 and api.ask("POST", path + "/reinstate")[0] == 404
    pay = f"{name}/payments/{month}"
    assert api.ask("POST", pay, {"amount_micro_dollars": 5})[0] in (201, 404)
    assert api.ask("POST", pay, {"amount_micro_dollars": -5})[0] == 400
    assert api.ask("GET", "/v1/statements/2026-13")[0] == 400
    assert api.ok("GET", "/v1/check")["broken"] == 0


def test_what_it_refuses(api, running):
    for token in ["", "x", api.token[:-1], api.token + "0", api.token.upper()]:
        status, answer, headers = api.ask("GET", "/v1/projects", token=token)
        assert status == 401 and "Bearer" in answer["error"] and headers["WWW-Authenticate"] == "Bearer"
    assert api.ask("GET", "/v1/none")[0] == 404 and api.ask("GET", "/v1/none", token="x")[0] == 401
    status, _, headers = api.ask("DELETE", "/v1/projects")
    assert status == 405 and headers["Allow"] == "GET, POST"
    assert api.ask("POST", "/v1/projects", "{}", headers={"Content-Type": "text/plain"})[0] == 415
    for body in ["", "{", "[]", "[" * 30000, '{"name":{"a":1}}', '{"name":1}', '{"name":"a","name":"b"}', "{}",
                 '{"name":"a","other":1}', '{"name":""}', '{"name":"\\u0000"}', b'{"name":"\xff"}', '{"name":"a\\nb"}',
                 {"name": "x" * 201}]:
        assert api.ask("POST", "/v1/projects", body)[0] == 400, body
    assert api.ask("POST", "/v1/projects", b"{" + b" " * 70000 + b"}")[0] == 413
    api.ok("POST", "/v1/projects", {"name": "p"})
    assert api.ask("POST", "/v1/projects", {"name": "p"})[0] == 409
    for body in [{}, {"rate": -1}, {"rate": "5"}, {"rate": 2 ** 63}, {"rate": 1.5}, {"disabled": None}]:
        assert api.ask("PATCH", "/v1/projects/p", body)[0] == 400, body
    for path in ["/v1/projects/%zz", "/v1/projects/%00", "/v1/projects/%ff"]:
        assert api.ask("PATCH", path, {"rate": 1})[0] == 400
    assert api.ask("PATCH", "/v1/projects/other", {"rate": 1})[0] == 404
    assert api.token not in running.log()


def test_token_of_others_is_refused(made, start):  # noqa: F811
    token = made / "admin-token"
    token.chmod(0o640)
    process = start("acre-satellite", made, "--admin-address", "127.0.0.1:0")
    wait_until(lambda: process.process.poll() is not None)
    assert process.process.returncode == 2 and "can be read by others" in process.log()


def set_setting(directory, name, value):
    path = directory / "config"
    lines = [line for line in path.read_text().splitlines() if not re.match(rf"#?\s*{name} =", line)]
    path.write_text("\n".join([*lines, f"{name} = {value}", ""]))


def test_settings_read_again(made, api, running):
    set_setting(made, "max-buckets", "7")
    set_setting(made, "log-level", "debug")
    set_setting(made, "connections-max", "99")
    token = "t" * 40
    (made / "admin-token").write_text(token + "\n")
    answer = api.ok("POST", "/v1/reload")
    assert sorted(answer["changed"]) == ["log-level", "max-buckets"] and answer["restart"] == ["connections-max"]
    assert api.ask("GET", "/v1/projects")[0] == 401
    api.token = token
    api.ok("GET", "/v1/projects")
    set_setting(made, "max-buckets", "many")
    status, answer, _ = api.ask("POST", "/v1/reload")
    assert status == 400 and "max-buckets" in answer["error"]
    set_setting(made, "max-buckets", "8")
    running.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "settings are read again" in running.log())
    assert "max-buckets" in running.log() and running.process.poll() is None
    # A flag stands over the file.
    set_setting(made, "admin-address", "127.0.0.1:1")
    assert "admin-address" not in api.ok("POST", "/v1/reload")["restart"]


def test_silent_and_many_peers(api):
    """Those who connect and say nothing keep nobody out for longer than their time."""
    host, port = api.address.rsplit(":", 1)
    silent = [socket.create_connection((host, int(port))) for _ in range(20)]
    begun = time.monotonic()
    assert api.ask("GET", "/health")[0] == 200
    assert time.monotonic() - begun < 50 * SLOW
    for s in silent:
        s.close()


@pytest.mark.skipif(not TOOL.exists(), reason="NO SCHEMATHESIS HERE: scripts/test fetches it from PyPI")
def test_as_the_document_says(api, running, tmp_path):
    """Requests by the document, right and wrong ones; answers as it says; never an internal error."""
    api.ok("POST", "/v1/projects", {"name": "p"})
    document = ROOT / "docs" / "satellite-api.yaml"
    assert api.ask("GET", "/openapi.yaml")[1].decode() == document.read_text()
    run = subprocess.run([TOOL, "run", document, "--url", f"http://{api.address}", "--header",
                          f"Authorization: Bearer {api.token}", "--max-examples", "200" if FULL else "8", "--seed", "1",
                          "--generation-codec", "ascii", "--generation-database", "none", "--no-color"],
                         cwd=tmp_path, capture_output=True, text=True, check=False, timeout=(3000 if FULL else 400) * SLOW)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert api.ok("GET", "/v1/check")["broken"] == 0
    assert api.token not in running.log()
