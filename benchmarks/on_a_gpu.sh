#!/usr/bin/env bash
# What this course has to say about a GPU, seen on one: at most ten minutes, for ROCm and CUDA alike.
#
#     benchmarks/on_a_gpu.sh                 all stages; tables and logs in outputs/on_a_gpu/
#     benchmarks/on_a_gpu.sh dtypes wan      these stages alone
#     SIZE=toy benchmarks/on_a_gpu.sh        the same code at a size for any machine, also without a GPU
#
# Each stage is on its own: one that fails or takes too long leaves the others alone, and is named at the end. PY names the
# Python, .venv/bin/python if nothing is said. A row that was seen leaves the list of what was not run, with machine, date, command.
set -uo pipefail
cd "$(dirname "$0")/.."

PY="${PY:-.venv/bin/python}"
OUT="${OUT:-outputs/on_a_gpu}"
SIZE="${SIZE:-full}"
stages="info dtypes options wan cartoon tolerances"

refuse() { echo "on_a_gpu.sh: $1" >&2; exit 2; }

[[ "$SIZE" =~ ^(full|toy)$ ]] || refuse "SIZE=$SIZE is not allowed: use full or toy."
for name in "$@"; do [[ " $stages " == *" $name "* ]] || refuse "there is no stage '$name': there are $stages."; done
command -v "$PY" >/dev/null || refuse "there is no Python at '$PY': run \`make setup\` first, or name one that has the course: PY=python3."
[ "$SIZE" = toy ] || "$PY" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' \
    || refuse "torch sees no GPU here, and \`t2v info\` says why. SIZE=toy tries the same code without one."

small=(--repeats 10); [ "$SIZE" = toy ] && small=(--repeats 1 --gemm 256 --frames 2 --dtypes float32)
case "$OUT" in /*) run="$OUT/run" ;; *) run="$PWD/$OUT/run" ;; esac
mkdir -p "$OUT" || refuse "OUT=$OUT cannot be made: name a folder that you may write."
wanted=("$@")
failed=()

asked() { [ ${#wanted[@]} -eq 0 ] || [[ " ${wanted[*]} " == *" $1 "* ]]; }

# stage NAME SECONDS COMMAND...
stage() {
    local name="$1" seconds="$2"; shift 2
    asked "$name" || return 0
    echo "== $name, at most $seconds s: $*"
    timeout --kill-after=5 "$seconds" "$@" 2>&1 | tee "$OUT/$name.log"
    local status="${PIPESTATUS[0]}"
    case "$status" in
        0) ;;
        124|137) failed+=("$name: stopped after $seconds s; what it had found by then is in $OUT/$name.log") ;;
        *) failed+=("$name: status $status; why is in $OUT/$name.log") ;;
    esac
}

full_size() { stage "$1" "$2" "$PY" benchmarks/full_size.py "$1" --size "$SIZE" --out "$OUT/$1.json" "${small[@]}" "${@:3}"; }

{ date -u; uname -sm; git rev-parse HEAD 2>/dev/null; } | tee "$OUT/machine.log"
stage info 40 "$PY" -m t2v_helpers.cli info --quick
full_size dtypes 140 --dtypes bfloat16 float16 float32
full_size options 140
full_size wan 60
if [ "$SIZE" = toy ]; then
    stage cartoon 170 env T2V_MODEL=cartoon "$PY" -m t2v_helpers.cli generate "a robot is dancing" --steps 2 --frames 4 --out "$run/robot.mp4"
    ! asked tolerances || echo "== tolerances: left out, for they hold what the notebooks 00 and 11 leave, and at toy size no notebook is run"
else
    stage cartoon 170 env T2V_MODEL=cartoon T2V_OUTPUTS="$run" "$PY" -m t2v_helpers.cli run 00 11
    stage tolerances 50 "$PY" -m t2v_helpers.cli tolerances --outputs "$run"
fi

[ ${#failed[@]} -eq 0 ] || { printf 'Not done: %s\n' "${failed[@]}" >&2; exit 1; }
