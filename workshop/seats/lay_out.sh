#!/usr/bin/env bash
# A copy of the course for each seat of a shared machine, which no other seat can read or write. As root, in the course's folder:
#
#     workshop/seats/lay_out.sh 8 /srv/seats     /srv/seats/1 to /srv/seats/8
#
# Seat k belongs to the user of number 10000 + k, whom nothing else on the machine may use. A copy that is there already stays as it
# is: somebody's work is in it. compose.yaml's profile `seats` starts them; docs/seats.md says how. It works in a clone, and
# in the folder of an unpacked bundle.
set -euo pipefail

count="${1:?usage: lay_out.sh COUNT FOLDER}" folder="${2:?usage: lay_out.sh COUNT FOLDER}"
[[ "$count" =~ ^[1-9][0-9]?$ ]] || { echo "lay_out.sh: COUNT=$count is not allowed: use a whole number from 1 to 99." >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "lay_out.sh: only root can give a copy to another user: use sudo." >&2; exit 2; }

folder="$(realpath --canonicalize-missing "$folder")"
cd "$(dirname "$0")/../.."

# The names of the course's files, without what was made or fetched; a bundle has no git to ask.
course_files() {
    if [ -e .git ]; then
        git -c safe.directory="$PWD" ls-files -z  # root may ask for a folder that is somebody's
    else
        find . \( -path './.venv*' -o -path ./wheels -o -path ./weights -o -path ./site -o -path ./outputs \) -prune -o -type f -print0
    fi
}

mkdir -p "$folder"
chmod 755 "$folder"
for seat in $(seq "$count"); do
    place="$folder/$seat"
    [ ! -e "$place" ] || { echo "$place is there already, and stays as it is."; continue; }
    rm -rf "$place.new"  # of a run that was stopped
    mkdir -m 700 "$place.new"
    course_files | tar --null --files-from - --create | tar --extract --directory "$place.new"
    mkdir "$place.new/.home"
    chown --recursive "$((10000 + seat)):$((10000 + seat))" "$place.new"
    chmod --recursive go= "$place.new"
    mv "$place.new" "$place"
    echo "$place"
done
