# Commands of the template. Each one does all the setup it needs; `make help` lists them.

# Unset variables that other tools set and that would break these commands. Variables for package
# indexes, proxies and certificates are kept.
unexport ALEMBIC_CONFIG COVERAGE_FILE COVERAGE_RCFILE MYPYPATH PIP_DRY_RUN PIP_PREFIX PIP_PYTHON \
	PIP_ROOT PIP_TARGET PIP_USER PYTEST_DISABLE_PLUGIN_AUTOLOAD PYTHONHASHSEED PYTHONHOME PYTHONINSPECT \
	PYTHONINTMAXSTRDIGITS PYTHONIOENCODING PYTHONMALLOC PYTHONOPTIMIZE PYTHONPATH PYTHONPLATLIBDIR \
	PYTHONSAFEPATH PYTHONTRACEMALLOC PYTHONUTF8 PYTHONWARNINGS PYTHON_GIL UV_ENV_FILE UV_ISOLATED \
	UV_MANAGED_PYTHON UV_NO_DEFAULT_GROUPS UV_NO_DEV UV_NO_GROUP UV_NO_SYNC UV_PROJECT \
	UV_PROJECT_ENVIRONMENT UV_PYTHON UV_PYTHON_PREFERENCE UV_SYSTEM_PYTHON UV_WORKING_DIR \
	UV_WORKING_DIRECTORY VIRTUAL_ENV
# If HOME is not usable, as in many containers, keep caches beside the tools.
ifeq ($(shell test -d "$$HOME" -a -r "$$HOME" -a -w "$$HOME" && echo usable),)
export HOME := $(CURDIR)/.tools/home
endif
# Variables that are set and can make an installation fail. The error message lists them.
SUSPECTS := $(foreach name,UV_OFFLINE UV_NO_INDEX UV_INDEX UV_INDEX_URL UV_DEFAULT_INDEX PIP_NO_INDEX PIP_INDEX_URL \
	HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy,$(if $($(name)),$(name)))
OFFLINE = Check the network connection$(if $(strip $(SUSPECTS)), and these variables: $(strip $(SUSPECTS))).
# Prefer PYTHON and UV from the environment, but only if they work: they may be meant for other tools.
PYTHON := $(shell for python in "$$PYTHON" python3 python3.15 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
UV := $(or $(shell for uv in "$$UV" uv; do "$$uv" --version >/dev/null 2>&1 && echo "$$uv" && break; done),.tools/bin/uv)
PORT ?= 8000
DEMO = demo/task-service
PYTEST = .venv/bin/python -m pytest -q --numprocesses auto --dist worksteal
# Print to standard error, so that the standard output contains only a command's result.
SAY = >&2 echo
export UV_PYTHON_DOWNLOADS ?= never

.DEFAULT_GOAL := help
.PHONY: help packages test check faults cluster images demo bench lighthouse sizes workers recording clean python

help: ## List the available commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: .venv/ready ## Run the quick tests: hooks, rendering, test suites of two projects (2 minutes)
	@$(PYTEST) tests

check: .venv/ready ## Run all other tests: checks of rendered projects, faults, end to end (30 minutes)
	@# Folders share servers, so each runs on one core: the longest first. Last, the tests that can run on any core.
	@$(PYTEST) --dist loadgroup $(addprefix lab/,e2e faults scaling providers cluster projects)

faults: .venv/ready ## Measure the effects of faults at length (20 minutes; Linux)
	@FAULTS_FULL=1 .venv/bin/python -m pytest lab/faults

cluster: .venv/ready ## Measure failovers of PostgreSQL and update two pages (35 minutes; needs etcd, HAProxy, PgBouncer)
	@.venv/bin/python -m lab.cluster

images: .venv/ready ## Build and run the images of two projects (10 minutes; needs Linux, root, buildah, podman)
	@.venv/bin/python -m pytest lab/containers

demo: .venv/ready ## Render the default answers into demo/ and serve the project (PORT=8000)
	@.venv/bin/cookiecutter . --no-input --default-config --overwrite-if-exists --output-dir demo
	@echo "When the service is running, paste these commands into another terminal in this folder. They create a task."
	@echo
	@echo 'TOKEN=$$(make -s -C $(DEMO) token)'
	@echo 'curl http://127.0.0.1:$(PORT)/api/v1/tasks -H "Authorization: Bearer $$TOKEN" -H "Content-Type: application/json" -d '"'"'{"title": "Try the demo"}'"'"
	@echo
	@exec $(MAKE) --no-print-directory -C $(DEMO) run PYTHON="$(PYTHON)" PORT=$(PORT)

bench: .venv/ready ## Compare the service with handwritten APIs (7 minutes; needs wrk; BENCH_BEFORE=revision)
	@UV="$(abspath $(UV))" .venv/bin/python -m lab.benchmarks

lighthouse: .venv/ready ## Measure the frontend with Lighthouse and update its page (5 minutes)
	@.venv/bin/python -m lab.e2e.lighthouse

sizes: .venv/ready ## Measure requests with a thousand and with five million tasks (5 minutes, 2 GB)
	@.venv/bin/python -m lab.scaling.sizes

workers: .venv/ready ## Measure throughput with 1, 2 and 4 workers (needs wrk)
	@.venv/bin/python -m lab.scaling.workers

packages: .venv/ready ## Update the list of packages that projects install: no project can have their names
	@.venv/bin/python -m lab.packages

recording: .venv/ready ## Record the terminal session that the README shows
	@.venv/bin/python -m lab.recording

clean: ## Remove everything that these commands created, including the demo and its tasks
	rm -rf .venv .tools demo uv.lock .pytest_cache .ruff_cache

.venv/ready: pyproject.toml | python $(filter .tools/bin/uv,$(UV))
	@$(SAY) "Installing the template's tools into .venv (may take a minute)"
	@"$(UV)" sync --quiet --python "$(PYTHON)" || { $(SAY) "The tools could not be installed. $(OFFLINE)"; exit 1; }
	@touch $@

.tools/bin/uv: | python
	@$(SAY) "Installing uv into .tools"
	@"$(PYTHON)" -m venv --clear .tools || { $(SAY) "Python's venv module does not work. Install it (on Debian: apt-get install python3-venv)."; exit 1; }
	@.tools/bin/python -m pip install -qq --disable-pip-version-check uv || { $(SAY) "uv could not be installed. $(OFFLINE)"; exit 1; }

python:
	@{ test "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; } 2>/dev/null || \
		{ $(SAY) "Python >= 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
