"""Deployment files of projects: images, compose file, manifests and workflows.

Each is checked by its own linter, and by these tests against the others.
"""

import json
import os
import re
import shutil
import sys
import tomllib
from ipaddress import ip_address, ip_network
from itertools import product
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.images import Dockerfile, sent_to_builder
from tests.rendering import ROOT, SECRET_FILES, Machine, RenderedProject, hook

COMBINATIONS = [*product(("sqlite", "postgresql"), ("shared-secret", "jwks"), ("nextjs", "none"))]
SHIPPED = ("**/Dockerfile", "compose.yaml", "docs/deploying.md", ".github/**/*", "deploy/**/*")


@pytest.fixture(scope="module", params=COMBINATIONS, ids="-".join)
def project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> RenderedProject:
    """The combination's project. Tests must not change it."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    names = ("database", "token_verification", "frontend")
    return machine.render(**dict(zip(names, request.param, strict=True)))


def installed_program(name: str) -> str:
    """Return the path of a program from the template's own environment."""
    return str(Path(sys.executable).with_name(name))


def shipped(project: RenderedProject) -> list[Path]:
    found = (path for pattern in SHIPPED for path in project.path.glob(pattern))
    return [path for path in found if path.is_file()]


def images(project: RenderedProject) -> list[Dockerfile]:
    return [Dockerfile(path) for path in shipped(project) if path.name == "Dockerfile"]


def readable_settings(project: RenderedProject) -> dict[str, str]:
    """Return the settings that the service reads, with their defaults."""
    return hook("post_gen_project").values((project.path / ".env.example").read_text())


def shutdown_seconds(settings: dict[str, str]) -> float:
    return float(settings["DRAIN_SECONDS"]) + float(settings["SHUTDOWN_SECONDS"])


def test_deployment_files_contain_no_registry_or_secret(project: RenderedProject) -> None:
    host = re.compile(r"\b(?:[a-z0-9-]+\.)+(?:com|dev|io|net|org|sh)\b")
    allowed = re.compile(r"(.+\.)?(example\.com|k8s\.io|kubernetes\.io)")
    settings = [project.settings(file) for file in SECRET_FILES if (project.path / file).exists()]
    secrets = [each["BETTER_AUTH_SECRET"] for each in settings if "BETTER_AUTH_SECRET" in each]

    for path in shipped(project):
        text = path.read_text()
        assert [found for found in host.findall(text) if not allowed.fullmatch(found)] == []
        assert not any(secret in text for secret in secrets), path


# The images


def test_dockerfiles_pass_hadolint(project: RenderedProject) -> None:
    paths = " ".join(str(image.path) for image in images(project))

    project.run(f"{installed_program('hadolint')} {paths}")


def test_base_images_have_exact_versions(project: RenderedProject) -> None:
    for image in images(project):
        [base] = {rest.split()[0] for rest in image.all("FROM")}

        assert re.fullmatch(r"\w+:\d+\.\d+\.\d+-[\w-]+", base)


def test_images_run_without_root_and_without_a_shell(project: RenderedProject) -> None:
    for image in images(project):
        owners = re.findall(r"--owner=(\d+) --group=(\d+)", image.path.read_text())

        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.last("USER"))
        assert {":".join(owner) for owner in owners} <= {image.last("USER")}
        # Both are JSON, or this fails.
        assert image.command
        assert image.health_check


def test_dockerignore_keeps_the_files_that_the_frontend_image_copies(
    project: RenderedProject, tmp_path: Path
) -> None:
    for image in images(project):
        if image.path.parent.name == "frontend":
            context = sent_to_builder(image.path.parent, tmp_path / "context")

            copied = [rest.split()[:-1] for rest in image.all("COPY") if "--from" not in rest]
            for source in (source for sources in copied for source in sources):
                assert (context / source).exists() or "[" in source, source
            assert (image.path.parent / ".env.local").exists()
            assert [*context.glob(".env*")] == []


# compose.yaml


@pytest.fixture
def compose(project: RenderedProject) -> dict[str, Any]:
    return yaml.safe_load((project.path / "compose.yaml").read_text())


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]


def test_containers_run_with_least_privilege(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_container_dependencies_can_be_met(services: dict[str, Any]) -> None:
    one_shot = {name for name in services if name.startswith("migrate")}
    gates = {
        (name, needed): gate["condition"]
        for name, service in services.items()
        for needed, gate in service.get("depends_on", {}).items()
    }

    for (name, needed), condition in gates.items():
        wanted = "completed_successfully" if needed in one_shot else "healthy"
        assert condition == f"service_{wanted}", name
    assert {needed for _, needed in gates} == {*one_shot} | (services.keys() & {"postgres"})
    for name, service in services.items():
        # Services that are built use the health check of their image.
        check = service.get("healthcheck", {"test": "build" in service})
        assert ("disable" in check, "restart" in service) == (
            name in one_shot,
            name not in one_shot,
        )
        assert check.get("test") or name in one_shot


def test_image_names_are_unique(services: dict[str, Any]) -> None:
    # They run side by side, and the second one to end fails.
    names = [each["image"] for each in services.values() if {"build", "image"} <= each.keys()]

    assert len({*names}) == len(names)


def test_containers_use_service_names_and_browsers_use_localhost(
    project: RenderedProject, services: dict[str, Any]
) -> None:
    ports = {image.path.parent.name: image.last("EXPOSE") for image in images(project)}
    api = services["api"]["environment"]

    assert services["api"]["ports"] == [f"127.0.0.1:8000:{api['PORT']}"]
    assert "BETTER_AUTH_URL" not in api  # It is what browsers know, byte for byte.
    if "frontend" in services:
        frontend = services["frontend"]
        given, known = frontend["environment"], project.settings("frontend/.env.local")
        assert frontend["ports"] == [f"127.0.0.1:3000:{ports['frontend']}"]
        assert "BETTER_AUTH_URL" not in given
        assert given["NEXT_PUBLIC_API_URL"] == f"http://api:{api['PORT']}"
        for name, value in frontend["build"]["args"].items():
            assert value == known[name]
    if "JWKS_URL" in readable_settings(project):
        host = f"frontend:{ports['frontend']}" if "frontend" in services else "host.docker.internal"
        assert f"http://{host}" in api["JWKS_URL"]


def test_stop_grace_period_covers_graceful_shutdown(
    project: RenderedProject, services: dict[str, Any]
) -> None:
    grace = float(services["api"]["stop_grace_period"].removesuffix("s"))

    assert grace > shutdown_seconds(readable_settings(project))


def test_persistent_data_is_in_volumes(
    project: RenderedProject, compose: dict[str, Any], services: dict[str, Any]
) -> None:
    mounted = {volume for each in services.values() for volume in each.get("volumes", [])}
    urls = {services[name]["environment"]["DATABASE_URL"] for name in ("api", "migrate")}

    assert {volume.split(":")[0] for volume in mounted} == compose["volumes"].keys()
    if "postgres" in services:
        assert urls == {"postgresql://postgres@postgres/postgres"}
    else:
        assert urls == {Dockerfile(project.path / "Dockerfile").variables["DATABASE_URL"]}
        assert services["api"]["volumes"] == services["migrate"]["volumes"] == ["tasks:/data"]
        for image in images(project):
            assert image.last("VOLUME") == "/data"


def test_containers_get_secrets_only_from_env_files(
    project: RenderedProject, services: dict[str, Any]
) -> None:
    files = {each["env_file"] for each in services.values() if "env_file" in each}
    settings = [name for each in services.values() for name in each["environment"]]

    assert files == {str(file) for file in SECRET_FILES if (project.path / file).exists()}
    assert not [name for name in settings if re.search("SECRET|PASSWORD", name)]


# deploy/kubernetes


@pytest.fixture
def manifests(project: RenderedProject) -> dict[str, dict[str, Any]]:
    files = (project.path / "deploy/kubernetes").iterdir()
    found = [yaml.safe_load(file.read_text()) for file in files]
    return {manifest["kind"]: manifest for manifest in found}


@pytest.fixture
def configuration(manifests: dict[str, dict[str, Any]]) -> dict[str, str]:
    [generated] = manifests["Kustomization"]["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generated["literals"])


def test_manifests_are_valid(manifests: dict[str, dict[str, Any]]) -> None:
    for kind, manifest in manifests.items():
        if kind != "Kustomization":  # Not a resource of Kubernetes, but of its client.
            newest = kubernetes_validate.latest_version()
            kubernetes_validate.validate(manifest, newest, strict=True)


def test_kustomization_lists_every_manifest(
    project: RenderedProject, manifests: dict[str, Any]
) -> None:
    files = {file.name for file in (project.path / "deploy/kubernetes").iterdir()}

    assert {*manifests["Kustomization"]["resources"], "kustomization.yaml"} == files


def test_references_between_manifests_match(manifests: dict[str, Any]) -> None:
    deployment = manifests["Deployment"]
    name, pod = deployment["metadata"]["name"], deployment["spec"]["template"]
    [container] = pod["spec"]["containers"]
    kustomization = manifests.pop("Kustomization")
    labels = pod["metadata"]["labels"]

    assert {manifest["metadata"]["name"] for manifest in manifests.values()} == {name}
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["Service"]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    assert container["envFrom"] == [
        {"configMapRef": {"name": kustomization["configMapGenerator"][0]["name"]}}
    ]
    assert [image["name"] for image in kustomization["images"]] == [container["image"]]
    if job := manifests.get("Job"):
        # Otherwise the Service would send requests to it.
        assert job["spec"]["template"]["metadata"]["labels"] != labels
        assert job["spec"]["template"]["spec"]["containers"][0]["image"] == container["image"]
        budget, scaler = (
            manifests[kind]["spec"] for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler")
        )
        assert budget["selector"]["matchLabels"] == labels
        assert scaler["scaleTargetRef"]["name"] == name


def test_pods_run_with_least_privilege(project: RenderedProject, manifests: dict[str, Any]) -> None:
    user = Dockerfile(project.path / "Dockerfile").last("USER")

    for kind in manifests.keys() & {"Deployment", "Job"}:
        pod = manifests[kind]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        security = pod["securityContext"]
        assert pod["automountServiceAccountToken"] is False
        assert security["runAsNonRoot"]
        assert f"{security['runAsUser']}:{security['runAsGroup']}" == user
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"].keys() == {"requests", "limits"}


def test_probes_use_the_port_of_the_image(
    project: RenderedProject, manifests: dict[str, Any]
) -> None:
    [container] = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    [port] = container["ports"]
    image = Dockerfile(project.path / "Dockerfile")
    probes = {name: probe["httpGet"] for name, probe in container.items() if "Probe" in name}

    assert str(port["containerPort"]) == image.last("EXPOSE") == image.variables["PORT"]
    assert probes == {
        "startupProbe": {"path": "/health/live", "port": port["name"]},
        "livenessProbe": {"path": "/health/live", "port": port["name"]},
        "readinessProbe": {"path": "/health/ready", "port": port["name"]},
    }
    if job := manifests.get("Job"):
        # A pod that waits for the migration must not be killed.
        startup = container["startupProbe"]
        longest = startup["periodSeconds"] * startup["failureThreshold"]
        assert longest >= job["spec"]["activeDeadlineSeconds"]


def test_termination_grace_period_covers_graceful_shutdown(
    manifests: dict[str, Any], configuration: dict[str, str]
) -> None:
    pod = manifests["Deployment"]["spec"]["template"]["spec"]

    assert pod["terminationGracePeriodSeconds"] > shutdown_seconds(configuration)


def permits(
    rules: list[dict[str, Any]], port: int | str, protocol: str = "TCP", **peer: str
) -> bool:
    """Evaluate a policy's rules for a peer with a `namespace` and a `pod`, or with an `address`."""

    def is_peer(source: dict[str, Any]) -> bool:
        if block := source.get("ipBlock"):
            networks = [ip_network(each) for each in (block["cidr"], *block.get("except", []))]
            inside = [ip_address(peer.get("address", "::")) in network for network in networks]
            return inside[0] and not any(inside[1:])
        labels = {
            "namespaceSelector": {"kubernetes.io/metadata.name": peer.get("namespace")},
            "podSelector": {"k8s-app": peer.get("pod")},
        }
        return all(source[name]["matchLabels"] == labels[name] for name in source)

    def is_port(entry: dict[str, Any]) -> bool:
        return (entry["port"], entry.get("protocol", "TCP")) == (port, protocol)

    return any(
        any(is_port(entry) for entry in rule["ports"])
        and all(any(is_peer(each) for each in rule[key]) for key in ("from", "to") if key in rule)
        for rule in rules
    )


def test_network_policy_selects_every_pod(manifests: dict[str, Any]) -> None:
    policy = manifests["NetworkPolicy"]["spec"]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    for kind in manifests.keys() & {"Deployment", "Job"}:
        labels = manifests[kind]["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()


def test_network_policy_allows_only_the_ingress_controller_to_reach_pods(
    manifests: dict[str, Any],
) -> None:
    rules = manifests["NetworkPolicy"]["spec"]["ingress"]

    assert permits(rules, "http", namespace="ingress-nginx", pod="controller")
    assert not permits(rules, "http", namespace="default", pod="controller")
    assert not permits(rules, "http", address="10.1.2.3")
    assert not permits(rules, 22, namespace="ingress-nginx", pod="controller")


def test_network_policy_allows_pods_to_reach_only_what_they_need(
    project: RenderedProject, manifests: dict[str, Any]
) -> None:
    rules = manifests["NetworkPolicy"]["spec"]["egress"]
    settings = readable_settings(project)
    postgresql, jwks = "HorizontalPodAutoscaler" in manifests, "JWKS_URL" in settings

    for protocol in ("TCP", "UDP"):
        dns = {"namespace": "kube-system", "pod": "kube-dns"}
        assert permits(rules, 53, protocol, **dns) is (postgresql or jwks)
        assert not permits(rules, 53, protocol, address="8.8.8.8")
    for address in ("10.1.2.3", "203.0.113.7"):
        for port in (5432, 6432):
            assert permits(rules, port, address=address) is postgresql
    assert permits(rules, 443, address="203.0.113.7") is jwks
    # The cluster itself, and the cloud's metadata service, which hands out credentials.
    for address in ("10.96.0.1", "169.254.169.254"):
        assert not permits(rules, 443, address=address)
        assert not permits(rules, 80, address=address)
    assert not permits(rules, 80, address="203.0.113.7")


def test_pods_are_spread_over_nodes_and_evictable_during_a_database_outage(
    manifests: dict[str, Any],
) -> None:
    if budget := manifests.get("PodDisruptionBudget"):
        deployment = manifests["Deployment"]["spec"]
        spread = deployment["template"]["spec"]["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
        for each in spread:
            assert each["labelSelector"] == deployment["selector"]
            # Two pods on one node are better than a pod that cannot be scheduled.
            assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_pods_get_secrets_only_by_reference(
    manifests: dict[str, Any], configuration: dict[str, str]
) -> None:
    assert "Secret" not in manifests
    assert not [name for name in configuration if re.search("SECRET|DATABASE_URL|STORAGE", name)]
    for kind in manifests.keys() & {"Deployment", "Job"}:
        [container] = manifests[kind]["spec"]["template"]["spec"]["containers"]
        for variable in container.get("env", []):
            reference = variable["valueFrom"]["secretKeyRef"]
            assert reference["name"] == manifests["Deployment"]["metadata"]["name"]
            assert reference["key"] == variable["name"]


def test_maximum_of_pods_fits_the_connections_of_the_database(
    project: RenderedProject, manifests: dict[str, Any], configuration: dict[str, str]
) -> None:
    deployment = manifests["Deployment"]["spec"]

    if scaler := manifests.get("HorizontalPodAutoscaler"):
        surge = deployment["strategy"]["rollingUpdate"]
        pods = scaler["spec"]["maxReplicas"] + surge["maxSurge"] + 1  # one that is shutting down
        pool = int(configuration["DATABASE_POOL_SIZE"])
        page = (project.path / "docs/deploying.md").read_text()
        assert "replicas" not in deployment
        assert scaler["spec"]["minReplicas"] == 2
        assert surge["maxUnavailable"] == 0
        # By default, PostgreSQL accepts 100 connections and reserves three of them.
        assert f"(8 + 1 + 1) × 1 × 8 = {pods * pool} |" in page  # noqa: RUF001 - the sign is in the page
        assert pods * pool + 2 + 10 <= 97  # with migrations, and with the frontend
    else:
        pod = deployment["template"]["spec"]
        claim = manifests["PersistentVolumeClaim"]
        assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
        assert pod["volumes"][0]["persistentVolumeClaim"] == {
            "claimName": claim["metadata"]["name"]
        }
        assert {"name": "data", "mountPath": "/data"} in pod["containers"][0]["volumeMounts"]


def test_deployment_sets_only_variables_that_the_service_reads(
    project: RenderedProject, manifests: dict[str, Any], configuration: dict[str, str]
) -> None:
    compose = yaml.safe_load((project.path / "compose.yaml").read_text())["services"]["api"]
    [container] = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"] for variable in container.get("env", [])}

    given = configuration.keys() | compose["environment"].keys() | environment

    assert given <= readable_settings(project).keys()
    if "BETTER_AUTH_SECRET" in readable_settings(project):
        assert "BETTER_AUTH_SECRET" in environment


# .github


@pytest.fixture
def workflows(project: RenderedProject) -> dict[str, dict[str, Any]]:
    files = (project.path / ".github/workflows").iterdir()
    return {file.name: yaml.safe_load(file.read_text()) for file in files}


def test_weekly_run_generates_other_requests(
    project: RenderedProject, workflows: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    steps = workflows["ci.yml"]["jobs"]["check"]["steps"]
    [command] = [step["run"] for step in steps if "schedule" in step.get("if", "")]
    shutil.copytree(project.path / "tests", tmp_path / "tests")

    RenderedProject(tmp_path).run(command, GITHUB_RUN_ID="23456789012")

    settings = tomllib.loads((tmp_path / "tests/schemathesis.toml").read_text())
    assert settings["seed"] == 23456789012


def zizmor(project: RenderedProject) -> None:
    project.run(
        f"{installed_program('zizmor')} --offline --quiet --persona=pedantic --strict-collection "
        f"--collect=all {project.path}"
    )


def test_workflows_and_dependabot_pass_zizmor(project: RenderedProject) -> None:
    zizmor(project)


def test_actions_are_pinned_to_commits_with_a_version_comment(project: RenderedProject) -> None:
    assert_pinned(project)


def assert_pinned(project: RenderedProject) -> None:
    for file in (project.path / ".github/workflows").iterdir():
        for line in re.findall(r"uses: (.*)", file.read_text()):
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


def test_ci_tests_every_supported_python(
    project: RenderedProject, workflows: dict[str, Any]
) -> None:
    pyproject = tomllib.loads((project.path / "pyproject.toml").read_text())["project"]
    oldest = int(pyproject["requires-python"].removeprefix(">=3."))
    in_image = int(re.search(r"FROM python:3\.(\d+)", (project.path / "Dockerfile").read_text())[1])

    matrix = workflows["ci.yml"]["jobs"]["check"]["strategy"]["matrix"]

    tested = matrix["python"]
    assert tested == [f"3.{oldest + number}" for number in range(len(tested))]
    assert f"3.{in_image}" in tested
    named = [line.rpartition(" ")[2] for line in pyproject["classifiers"] if "3." in line]
    assert named == tested


def test_ci_runs_existing_commands_only(
    project: RenderedProject, workflows: dict[str, Any]
) -> None:
    jobs = [job for workflow in workflows.values() for job in workflow["jobs"].values()]
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    made = re.findall(r"(?m)^([\w./]+):", (project.path / "Makefile").read_text())
    package = project.path / "frontend/package.json"
    scripts = json.loads(package.read_text())["scripts"] if package.exists() else {}

    assert "make check" in commands
    assert ("frontend.yml" in workflows) is package.exists()
    assert {text.split()[1] for text in commands if text.startswith("make ")} <= {*made}
    assert {text.split()[2] for text in commands if text.startswith("npm run ")} <= scripts.keys()


def test_ci_creates_all_required_settings(
    project: RenderedProject, workflows: dict[str, Any], tmp_path: Path
) -> None:
    copy = RenderedProject(shutil.copytree(project.path, tmp_path / "project"))
    wanted = {file: project.settings(file) for file in SECRET_FILES if (copy.path / file).exists()}
    for file in wanted:
        (copy.path / file).unlink()
    steps = workflows["ci.yml"]["jobs"]["containers"]["steps"]
    [script] = [step["run"] for step in steps if "settings" in step.get("name", "")]
    (copy.path / "make-settings").write_text(script)

    copy.run("bash -e make-settings")

    values = hook("post_gen_project").values
    made = {file: values((copy.path / file).read_text()) for file in wanted}
    secrets = {settings.get("BETTER_AUTH_SECRET") for settings in made.values()} - {None}
    assert len(secrets) <= 1
    for file, settings in wanted.items():
        assert settings.keys() <= made[file].keys()
        assert len(made[file].get("BETTER_AUTH_SECRET", "x" * 32)) >= 32


def test_dependabot_covers_every_file_with_versions(project: RenderedProject) -> None:
    updates = yaml.safe_load((project.path / ".github/dependabot.yml").read_text())["updates"]
    found = {
        (update["package-ecosystem"], folder)
        for update in updates
        for folder in update.get("directories", [update.get("directory")])
    }
    frontend, postgres = (project.path / "frontend").exists(), "scripts/postgres.py"

    assert found == {
        ("github-actions", "/"),
        ("uv", "/"),
        ("docker", "/"),
        *([("docker", "/frontend"), ("npm", "/frontend")] if frontend else []),
        *([("docker-compose", "/")] if (project.path / postgres).exists() else []),
    }


# The template's own .github


@pytest.fixture
def template(tmp_path: Path) -> RenderedProject:
    """A copy of the template's files that linters check."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return RenderedProject(tmp_path)


def test_workflow_of_the_template_passes_zizmor_and_is_pinned(
    template: RenderedProject,
) -> None:
    zizmor(template)
    assert_pinned(template)


def test_workflow_of_the_template_runs_existing_command(template: RenderedProject) -> None:
    jobs = yaml.safe_load((template.path / ".github/workflows/ci.yml").read_text())["jobs"]
    [command] = [step["run"] for step in jobs["test"]["steps"] if "run" in step]

    assert os.access(ROOT / command, os.X_OK)


def test_issue_form_lists_every_question(template: RenderedProject) -> None:
    forms = template.path / ".github/ISSUE_TEMPLATE"

    bug = yaml.safe_load((forms / "bug.yml").read_text())
    fields = {field["id"]: field["attributes"] for field in bug["body"]}
    assert fields.keys() == {"answers", "seen", "expected", "versions"}
    choices = hook("pre_gen_project").CHOICES
    assert fields["answers"]["value"].split() == [f"{name}=" for name in choices]
    assert yaml.safe_load((forms / "feature.yml").read_text())["body"]
