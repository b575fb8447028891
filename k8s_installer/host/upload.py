"""Large files on a host before their turn: the script that takes one in, and the words where it cannot. Pure.

A file is staged under its SHA-256: whole, its sum compared, and on the disk. What has come of one that broke off
lies beside it, and is resumed.
"""

from __future__ import annotations

import re

from k8s_installer.host.statedir import INCOMING, KEPT, STALE_DAYS
from k8s_installer.model.resources import UploadedFile

# `part` holds what has come, as it came; its name holds the size of all, for another gzip's is another stream. The
# disk writes while the sum is made, and gzip unpacks while more is coming. openssl knows the processor's own
# instructions for SHA-256, which makes it five times as fast as coreutils.
_SCRIPT = f"""\
incoming=${{{{K8S_INSTALLER_INCOMING:-{INCOMING}}}}} kept=${{{{K8S_INSTALLER_KEPT:-{KEPT}}}}}
sum={{sum}} coming={{coming}} part={{sum}}.{{coming}}.part
umask 077
trap '' PIPE # all of it is taken in even where gzip has given up: what is broken is not resumed
mkdir -p "$incoming" && cd "$incoming" || exit 1
digest() {{{{
  if command -v openssl >/dev/null; then openssl dgst -sha256 -r; else sha256sum; fi | cut -c -64
}}}}
size_of() {{{{ stat -c %s "$1" 2>/dev/null || echo 0; }}}}
free() {{{{ df -Pk . | {{{{ read -r head; read -r name all used free rest; echo "$free"; }}}}; }}}}
stage() {{{{ # new: it counts once it is on the disk, and what is wanted
  dd if=/dev/null of="$1" conv=notrunc,fsync status=none &
  came=$(digest <"$1")
  wait $! && [ "$came" = $sum ] && mv -T "$1" $sum
}}}}
find . -type f -mtime +{STALE_DAYS} -exec rm -f {{{{}}}} +
[ ! -f $sum ] || exit 0
# a rollback may have left it there
[ ! -f "$kept/$sum" ] || {{{{ cp "$kept/$sum" $sum.new && stage $sum.new && exit 0; rm -f $sum.new; }}}}
have=$(size_of $part)
needs=$(((coming - have + {{unpacked}}) / 1024))
[ "$(free)" -gt $needs ] || {{{{ echo "no room: $((needs / 1024)) MB more are needed"; df -Ph .; exit 1; }}}}
: >>$part
echo "send $have"
{{take}}
if stage $new; then
  rm -f $sum.*
  exit 0
fi
# a script that was given up, since the way was too slow for it, may end later than thought: it had all of it
[ ! -f $sum ] || exit 0
if [ "$(size_of $part)" -eq $coming ]; then
  rm -f $new $part
  echo "what arrived is not what was sent: the next \\`apply\\` sends it again"
else
  [ "$new" = "$part" ] || rm -f $new # this script's own: another one may be at work beside it
  echo "it could not be written whole: the next \\`apply\\` resumes it"
fi
df -Ph .
exit 1
"""
_PLAIN = "new=$part\ncat >>$part"
_PACKED = "new=$sum.$coming.new\n{ cat $part; tee -a $part; } | gzip -dc >$new"


def script(file: UploadedFile, coming: int, *, packed: bool) -> str:
    """The script that takes a file in, for `Transport.upload`; it ends with 0 when the file is staged.

    Args:
        file: what is wanted.
        coming: how many bytes the whole upload has.
        packed: whether they are the file's bytes in gzip's format.
    """
    return _SCRIPT.format(
        sum=file.sha256,
        coming=coming,
        unpacked=file.size if packed else 0,
        take=_PACKED if packed else _PLAIN,
    )


def evidence(stdout: str, stderr: str) -> str:
    """What a script that could not take a file in has said, without what was meant for us."""
    return re.sub(r"(?m)\Asend [0-9]+\n", "", stdout).strip() + ("\n" + stderr.strip() if stderr.strip() else "")
