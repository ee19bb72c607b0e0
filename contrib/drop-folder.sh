#!/bin/sh
# drop-folder.sh FOLDER [OPTION of shipfwd import]...
#
# Imports every finished file of FOLDER, and moves it to FOLDER/done, or to FOLDER/failed when it is not understood as
# a whole. Rejected rows go to FOLDER/rejects: mend them and put the file back into FOLDER. Made for cron:
#
#   */5 * * * *  /usr/local/bin/drop-folder.sh /srv/parcels -i shop
#
# Nothing is lost: a file is renamed into FOLDER/work before it is read, and stays there until shipfwd has stored it; what
# a killed run left in work is read again, and the same rows again change nothing. Nothing is read half: a file counts
# as finished when it was not written to for a minute. Nothing is read by two runs: they take turns by a lock.
# SHIPFWD names another executable, SHIPFWD_DB the database.
set -u
umask 077
shipfwd=${SHIPFWD:-shipfwd}
folder=${1:?"say which folder: drop-folder.sh FOLDER [OPTION]..."}
shift
work=$folder/work
mkdir -p "$work" "$folder/done" "$folder/failed" "$folder/rejects" || exit 3
exec 9>"$work/.lock"
flock -n 9 || exit 0 # another run is at it
worst=0

take() { # FILE [OPTION]...: import it, then put it where it belongs
    file=$1
    shift
    name=$(basename "$file")
    stamp=$(date -u +%Y%m%dT%H%M%SZ)
    case $name in
    *.xlsx) rejects=$stamp-$name.csv ;;
    *) rejects=$stamp-$name ;;
    esac
    if [ -s "$file" ]; then
        "$shipfwd" -q import "$file" --rejects "$folder/rejects/$rejects" "$@" </dev/null 9>&-
        code=$?
    else
        echo "drop-folder: $name is empty" >&2
        code=2
    fi
    case $code in
    0 | 1 | 4) mv -n "$file" "$folder/done/$stamp-$name" ;; # stored; sweeps do the rest
    2) mv -n "$file" "$folder/failed/$stamp-$name" ;;       # nothing of it was stored
    esac                                                 # else it stays in work, for the next run
    [ "$code" = 4 ] || [ "$code" -le "$worst" ] || worst=$code
}

for left in "$work"/*; do
    [ -f "$left" ] && take "$left" "$@"
done
for new in "$folder"/*; do
    [ -f "$new" ] && [ -n "$(find "$new" -prune -mmin +1)" ] || continue
    here=$work/$(basename "$new")
    [ -e "$here" ] && continue # its turn comes when the older one is done
    mv -n "$new" "$here" && take "$here" "$@"
done
exit "$worst"
