"""The shipped Prometheus rules and Grafana dashboard ask for what the service tells."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.helpers.live_server import Starter, free_port, wait_for
from tests.helpers.proxy import replace_once

PROMETHEUS = shutil.which("prometheus")
SHIPPED = Path("deploy/prometheus")
GRAFANA = Path("deploy/grafana")
KEY = "a-secret-key"


def dashboard() -> dict[str, Any]:
    return json.loads((GRAFANA / "dashboards/pokejax.json").read_text())


def expressions() -> list[str]:
    """All that the dashboard and the alerts ask for."""
    targets = (target for panel in dashboard()["panels"] for target in panel["targets"])
    asked = [target["expr"].replace("$__rate_interval", "1m") for target in targets]
    alerts = yaml.safe_load((SHIPPED / "alerts.yml").read_text())
    rules = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    return asked + rules


def test_only_what_is_exposed_is_asked_for(client: httpx.Client):
    told = client.get("/metrics").text
    exposed = set(re.findall(r"# TYPE (\S+)", told))
    for expression in expressions():
        for name in re.findall(r"pokejax_\w+", expression):
            family = re.sub("_(bucket|sum|count)$", "", name)
            assert {name, family} & exposed, f"{name} is not exposed"


def test_grafana_finds_its_data():
    folder = GRAFANA / "provisioning"
    text = (folder / "datasources/prometheus.yml").read_text()
    (source,) = yaml.safe_load(text)["datasources"]
    compose = yaml.safe_load(Path("docker-compose.yml").read_text())
    assert source["url"].removeprefix("http://").split(":")[0] in compose["services"]
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        for asks in (panel, *panel["targets"]):
            assert asks["datasource"] == {"type": "prometheus", "uid": source["uid"]}
    text = (folder / "dashboards/pokejax.yml").read_text()
    (provider,) = yaml.safe_load(text)["providers"]
    mounts = compose["services"]["grafana"]["volumes"]
    assert f"./{GRAFANA}/dashboards:{provider['options']['path']}:ro" in mounts


@pytest.fixture
def prometheus(start: Starter, tmp_path: Path) -> Iterator[httpx.Client]:
    """Prometheus with the shipped files, asking a service that wants a key."""
    shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    (tmp_path / "key").write_text(KEY)
    with start(api_keys=(KEY,)) as live, live.client() as client:
        asked = {"prompt": "a red fish", "num_samples": 2}
        headers = {"X-API-Key": KEY}
        answer = client.post("/api/v1/generate", json=asked, headers=headers)
        assert answer.status_code == 200
        config = tmp_path / "prometheus.yml"
        text = replace_once(
            config.read_text(), "/run/scrape-key", str(tmp_path / "key")
        )
        text = replace_once(text, "api:8000", f"127.0.0.1:{live.port}")
        config.write_text(text.replace("10s", "1s"))
        port = free_port()
        assert PROMETHEUS
        with (tmp_path / "log").open("wb") as log:
            command = [
                PROMETHEUS,
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'store'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ]
            with subprocess.Popen(command, stdout=log, stderr=log) as process:
                try:
                    url = f"http://127.0.0.1:{port}/api/v1/"
                    with httpx.Client(base_url=url) as asking:
                        yield asking
                finally:
                    process.terminate()


def value(prometheus: httpx.Client, expression: str) -> list[Any]:
    try:
        answer = prometheus.get("query", params={"query": expression})
    except httpx.TransportError:  # it still starts
        return []
    assert answer.status_code in (200, 503), f"{expression}: {answer.text}"
    return answer.json()["data"]["result"] if answer.status_code == 200 else []


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
def test_prometheus_takes_the_files_and_answers_the_dashboard(prometheus: httpx.Client):
    # Two scrapes, or there would be no rates.
    scraped = "count_over_time(pokejax_pictures_total[1m])"
    wait_for(
        lambda: bool(r := value(prometheus, scraped)) and int(r[0]["value"][1]) > 1
    )
    (target,) = prometheus.get("targets").json()["data"]["activeTargets"]
    assert target["health"] == "up", target["lastError"]
    assert value(prometheus, "pokejax_ready_workers")[0]["value"][1] == "1"
    for expression in expressions():
        value(prometheus, expression)  # is understood
    empty = [
        panel["title"]
        for panel in dashboard()["panels"]
        for target in panel["targets"]
        if not value(prometheus, target["expr"].replace("$__rate_interval", "1m"))
    ]
    # Nothing was dropped.
    assert empty == ["Pictures not drawn after all, a second"]
    groups = prometheus.get("rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == 4 and all(rule["state"] == "inactive" for rule in rules)
