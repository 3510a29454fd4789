"""The chart: what it renders to is what Kubernetes allows, has few rights, names what exists."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from rackmeter.cli.app import build
from rackmeter.settings import PREFIX, Settings

CHART = Path(__file__).parents[2] / "deploy/helm/rackmeter"
VALUES = CHART / "ci-values.yaml"
VERSIONS = ("1.31", "1.34", "1.37")
HELM = shutil.which("helm") or str(Path(sys.executable).parents[1] / "tools/helm")
Object = dict[str, Any]

pytestmark = pytest.mark.skipif(not os.access(HELM, os.X_OK), reason="no helm: make helm, with Go")


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HELM, *arguments, "--kube-version", "1.34.0"], capture_output=True, text=True, check=False
    )


def render(*settings: str) -> list[Object]:
    given = [part for one in settings for part in ("--set", one)]
    done = helm(
        "template", "meter", str(CHART), "--namespace", "billing", "-f", str(VALUES), *given
    )
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return render()


def name(one: Object) -> str:
    return f"{one['kind']} {one['metadata']['name'].removeprefix('meter-rackmeter-')}"


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for one in objects:
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield name(one), spec["template"]


def containers(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for owner, pod in pods(objects):
        for one in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]):
            yield f"{owner}/{one['name']}", one


VARIANTS = {
    "as for tests": (),
    "without TLS of its own": ("api.tlsSecret=", "api.trustedProxies=10.0.0.0/8"),
    "a broker without users": ("kafka.securityProtocol=PLAINTEXT", "kafka.caConfigMap="),
    "everything off": (
        "networkPolicy.enabled=false", "close.enabled=false", "maintain.enabled=false",
        "backup.enabled=false", "archive.enabled=false", "reconcile.enabled=false",
        "state.existingClaim=mine",
    ),
    "a digest": ("image.digest=sha256:" + "0" * 64,),
}  # fmt: skip


def test_helm_finds_nothing_to_say() -> None:
    done = helm("lint", "--strict", str(CHART), "-f", str(VALUES))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_what_kubernetes_allows(variant: str, version: str) -> None:
    for one in render(*VARIANTS[variant]):
        kubernetes_validate.validate(one, version, strict=True)


def test_the_parts_are_there(objects: list[Object]) -> None:
    assert sorted(name(one) for one in objects if one["kind"] != "NetworkPolicy") == [
        "CronJob archive", "CronJob backup", "CronJob close", "CronJob maintain",
        "CronJob reconcile", "Deployment api", "Deployment worker", "Job setup",
        "PersistentVolumeClaim state",
        "PodDisruptionBudget api", "PodDisruptionBudget worker", "Service api",
        "ServiceAccount meter-rackmeter",
    ]  # fmt: skip


def test_every_pod_is_restricted(objects: list[Object]) -> None:
    """Kubernetes' Pod Security Standard `restricted`, and a file system that is read."""
    for owner, pod in pods(objects):
        spec, context = pod["spec"], pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, owner
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert spec["automountServiceAccountToken"] is False, owner
        assert spec["enableServiceLinks"] is False, owner
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), owner
        allowed = {"secret", "configMap", "emptyDir", "persistentVolumeClaim"}
        for volume in spec["volumes"]:
            assert {*volume} - {"name"} <= allowed, owner
    for owner, one in containers(objects):
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, owner
        assert one["resources"]["limits"]["memory"], owner


def test_secrets_are_files_that_others_cannot_read(objects: list[Object]) -> None:
    """A key that every user may read is refused; only the database's address is a variable."""
    for owner, pod in pods(objects):
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440, owner
    for owner, one in containers(objects):
        from_secrets = [env["name"] for env in one["env"] if "valueFrom" in env]
        assert from_secrets == ["RACKMETER_DATABASE_URL"], owner


def test_every_setting_and_mount_exists(objects: list[Object]) -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    for owner, pod in pods(objects):
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        for one in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]):
            names = [env["name"] for env in one["env"]]
            assert {*names} <= known, owner
            assert len(names) == len({*names}), owner
            mounted = {mount["mountPath"] for mount in one["volumeMounts"]}
            assert {mount["name"] for mount in one["volumeMounts"]} <= volumes, owner
            for env in one["env"]:
                if env["name"].endswith("_FILE"):
                    assert str(Path(env["value"]).parent) in mounted, f"{owner}: {env['name']}"


def test_every_command_exists(objects: list[Object]) -> None:
    for owner, one in containers(objects):
        words = one["args"]
        shown = CliRunner().invoke(build(), [*words[:2], "--help"])
        assert shown.exit_code == 0, owner
        assert [word for word in words if word.startswith("--") and word not in shown.output] == []


def test_each_part_logs_in_as_itself(objects: list[Object]) -> None:
    logins = {
        owner: one["env"][1]["valueFrom"]["secretKeyRef"]["key"]
        for owner, one in containers(objects)
    }
    assert logins == {
        "Job setup/migrate": "owner", "Job setup/topics": "owner",
        "Deployment worker/worker": "writer", "Deployment api/api": "api",
        "CronJob close/close": "invoicer", "CronJob maintain/maintain": "owner",
        "CronJob backup/backup": "owner", "CronJob archive/archive": "writer",
        "CronJob reconcile/reconcile": "invoicer",
    }  # fmt: skip


def test_selectors_find_their_pods(objects: list[Object]) -> None:
    labels = {owner: pod["metadata"]["labels"] for owner, pod in pods(objects)}
    for one in objects:
        spec = one.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector", {}))
        wanted = selector.get("matchLabels", selector)
        if wanted:
            found = [owner for owner, given in labels.items() if wanted.items() <= given.items()]
            assert len(found) == 1, f"{name(one)} finds {found}"


def test_every_pod_has_a_policy_and_only_workers_reach_the_world(objects: list[Object]) -> None:
    policies = {
        one["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: one["spec"]
        for one in objects
        if one["kind"] == "NetworkPolicy"
    }
    parts = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for _, pod in pods(objects)}
    assert policies.keys() == parts
    for part, spec in policies.items():
        outward = [port for rule in spec["egress"] for port in rule["ports"] if port["port"] == 443]
        assert bool(outward) is (part == "worker")
        inward = [port["port"] for rule in spec["ingress"] or [] for port in rule["ports"]]
        assert inward == {"worker": [9464], "api": [8443, 9464]}.get(part, [])


def test_a_job_repeats_what_may_mend_itself_and_nothing_else(objects: list[Object]) -> None:
    for one in objects:
        if one["kind"] == "CronJob":
            spec = one["spec"]
            assert spec["concurrencyPolicy"] == "Forbid"
            [rule] = spec["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
            assert rule["action"] == "FailJob"
            assert 4 not in rule["onExitCodes"]["values"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("database.existingSecret=", "/database/existingSecret"),
        ("kafka.bootstrap=kafka", "/kafka/bootstrap"),
        ("kafka.existingSecret=", "/kafka/existingSecret"),
        ("masterKey.existingSecret=", "/masterKey/existingSecret"),
        ("api.enroll.bootstrap=", "/api/enroll/bootstrap"),
        ("worker.replicas=0", "/worker/replicas"),
        ("close.schedule=nightly", "/close/schedule"),
        ("kafak.bootstrap=k:1", "kafak"),
    ],
)
def test_a_value_that_cannot_work_is_refused(setting: str, said: str) -> None:
    done = helm("template", "meter", str(CHART), "-f", str(VALUES), "--set", setting)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_chart_is_of_this_version() -> None:
    project = (CHART.parents[2] / "pyproject.toml").read_text()
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["appVersion"]}"' in project
    json.loads((CHART / "values.schema.json").read_text())
