"""A SQLite ledger on a file system of another machine is warned of, by recorded mounts of Linux and macOS."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from driftguard.adapters.sql.mounts import network_filesystem, network_type

# /proc/self/mountinfo of an EC2 machine with EFS, an NFS home, a CIFS share with a space, sshfs, and a container.
LINUX = r"""22 1 259:1 / / rw,noatime shared:1 - xfs /dev/nvme0n1p1 rw,attr2,inode64
24 22 0:5 / /dev rw,nosuid shared:2 - devtmpfs devtmpfs rw,size=4096k
29 22 0:26 / /run rw,nosuid,nodev shared:11 - tmpfs tmpfs rw,size=783M
97 22 0:49 / /efs rw,relatime shared:54 - nfs4 127.0.0.1:/ rw,vers=4.1,rsize=1048576,addr=127.0.0.1
98 22 0:50 / /home rw,relatime shared:55 master:2 - nfs filer.example.org:/vol/home rw,vers=3,proto=tcp
99 98 259:2 / /home/ci/scratch rw - ext4 /dev/nvme1n1 rw
100 22 0:51 / /mnt/our\040share rw - cifs //filer/share rw,vers=3.1.1
101 22 0:52 / /mnt/remote rw,nosuid,nodev shared:60 - fuse.sshfs ada@host:/data rw,user_id=0
102 22 0:53 / /srv rw - ext4 /dev/nvme2n1 rw
103 102 0:54 / /srv rw - nfs4 filer.example.org:/srv rw,vers=4.2
104 22 0:55 / /var/lib/containers/storage/overlay rw - overlay overlay rw,lowerdir=/a,upperdir=/b
"""
MACOS = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse, protect)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
filer.example.org:/export/data on /Volumes/data (nfs, nodev, nosuid, mounted by ada)
//ada@filer.example.org/Share on /Volumes/Our Share (smbfs, nodev, nosuid, mounted by ada)
https://dav.example.org/ on /Volumes/dav (webdav)
"""


@pytest.mark.parametrize(
    ("mounts", "path", "kind"),
    [
        (LINUX, "/var/lib/driftguard/ledger.db", None),
        (LINUX, "/efs/driftguard/ledger.db", "nfs4"),
        (LINUX, "/home/ci/.local/state/driftguard/ledger.db", "nfs"),
        (LINUX, "/home/ci/scratch/ledger.db", None),
        (LINUX, "/homestead/ledger.db", None),
        (LINUX, "/mnt/our share/ledger.db", "cifs"),
        (LINUX, "/mnt/remote/ledger.db", "fuse.sshfs"),
        (LINUX, "/srv/ledger.db", "nfs4"),
        (LINUX, "/var/lib/containers/storage/overlay/ledger.db", None),
        (MACOS, "/Users/ada/Library/ledger.db", None),
        (MACOS, "/Volumes/data/ledger.db", "nfs"),
        (MACOS, "/Volumes/Our Share/ledger.db", "smbfs"),
        (MACOS, "/Volumes/dav/ledger.db", "webdav"),
        ("", "/ledger.db", None),
        ("nonsense\n - \n", "/ledger.db", None),
    ],
)
def test_the_innermost_mount_above_the_file_counts(mounts: str, path: str, kind: str | None) -> None:
    assert network_type(PurePosixPath(path), mounts) == kind


def test_a_disk_of_this_machine_is_not_warned_of(tmp_path: Path) -> None:
    assert network_filesystem(tmp_path / "ledger.db") is None
