#!/usr/bin/env bash
# Is a bundle enough? Unpack it elsewhere, and install and run the course from it where there is no network.
#
#     workshop/prove_bundle.sh outputs/seats.tar
#
# It needs Linux, and the right to make a network namespace: root, sudo, or a kernel that lets everybody. PYTHON=python3.12
# names another Python; it must be of the version for which the packages were fetched.
set -euo pipefail

refuse() { echo "prove_bundle.sh: $1" >&2; exit 2; }

[ -f "${1:-}" ] || refuse "there is no archive '${1:-}': name one that \`make bundle\` made, outputs/seats.tar."
archive="$(realpath "$1")"
python="$(command -v "${PYTHON:-python3}")" || refuse "there is no '${PYTHON:-python3}' here: name the seats' Python, PYTHON=python3.12."
command -v unshare >/dev/null || refuse "there is no unshare here, so the network cannot be taken away: try it on Linux."
folder="$(mktemp -d)"
without_a_network=(unshare --net)
unshare --net true 2>/dev/null || without_a_network=(unshare --map-root-user --net)
"${without_a_network[@]}" true 2>/dev/null || without_a_network=(sudo unshare --net)
trap 'rm -rf "$folder" 2>/dev/null || sudo rm -rf "$folder"' EXIT
tar -xf "$archive" -C "$folder"

read -r -d '' seat <<'SEAT' || true
cd "$1"
ip link set lo up  # Jupyter speaks to a kernel through the loopback
if timeout 5 bash -c 'exec 3<>/dev/tcp/1.1.1.1/443' 2>/dev/null; then echo "There is a network here." >&2; exit 1; fi
export PIP_NO_INDEX=1 PIP_FIND_LINKS="$PWD/wheels" HF_HOME="$PWD/weights" HF_HUB_OFFLINE=1
make setup PYTHON="$2"
source .venv/bin/activate
t2v generate "a robot is dancing in times square" --steps 4 --out outputs/proof.mp4
t2v run 00_start_here
for made in outputs/proof.mp4 outputs/live.html site/index.html outputs/workshop/handout.html; do
    test -s "$made" || { echo "$made is missing." >&2; exit 1; }
done
SEAT
# Nothing of this machine's settings for pip: what it would find on the disk, a seat has not.
settings=(-u PIP_CONSTRAINT -u PIP_EXTRA_INDEX_URL -u PIP_INDEX_URL PIP_CONFIG_FILE=/dev/null)
"${without_a_network[@]}" env "${settings[@]}" bash -euo pipefail -c "$seat" seat "$folder/course" "$python"
echo "The bundle is enough: installed and run without a network."
