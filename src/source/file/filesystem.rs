//! What a file system can be trusted with: whether the kernel hints at every change, and whether inode numbers last.

use std::path::Path;

/// How far the kernel's hints can be trusted in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hints {
    /// Every write passes this kernel and is announced.
    All,
    /// Not every write may be announced: files are looked at with each listing besides.
    #[default]
    Some,
    /// Writes of other machines, or of another kernel, are never announced: the directory is polled.
    Own,
}

/// A file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// As `mount` calls it.
    pub(crate) name: &'static str,
    pub(crate) hints: Hints,
    /// A file may have another inode number when it is looked at again, or after a remount.
    pub(crate) renumbers: bool,
}

const fn of(name: &'static str, hints: Hints, renumbers: bool) -> FileSystem {
    FileSystem { name, hints, renumbers }
}

/// `f_type` of statfs(2), and what it means.
const KNOWN: [(u32, FileSystem); 31] = [
    (0xef53, of("ext4", Hints::All, false)),
    (0x5846_5342, of("xfs", Hints::All, false)),
    (0x9123_683e, of("btrfs", Hints::All, false)),
    (0x0102_1994, of("tmpfs", Hints::All, false)),
    (0x8584_58f6, of("ramfs", Hints::All, false)),
    (0x2fc1_2fc1, of("zfs", Hints::All, false)),
    (0xf2f5_2010, of("f2fs", Hints::All, false)),
    (0xca45_1a4e, of("bcachefs", Hints::All, false)),
    (0x3153_464a, of("jfs", Hints::All, false)),
    // Writes to a layer beneath are not announced in the union, nor those to the union in the layer.
    (0x794c_7630, of("overlay", Hints::Some, false)),
    (0x6175_6673, of("aufs", Hints::Some, false)),
    (0xf15f, of("ecryptfs", Hints::Some, false)),
    (0x6969, of("nfs", Hints::Own, false)),
    (0xff53_4d42, of("cifs", Hints::Own, true)),
    (0xfe53_4d42, of("smb2", Hints::Own, true)),
    (0x517b, of("smbfs", Hints::Own, true)),
    // Also virtiofs, sshfs, s3fs, gcsfuse, GlusterFS, mergerfs and what desktop hypervisors share.
    (0x6573_5546, of("fuse", Hints::Own, true)),
    (0x0102_1997, of("9p", Hints::Own, true)),
    (0x786f_4256, of("vboxsf", Hints::Own, true)),
    (0xbacb_acbc, of("vmhgfs", Hints::Own, true)),
    (0x00c3_6400, of("ceph", Hints::Own, false)),
    (0x5346_414f, of("afs", Hints::Own, false)),
    (0x6b41_4653, of("kafs", Hints::Own, false)),
    (0x0116_1970, of("gfs2", Hints::Own, false)),
    (0x7461_636f, of("ocfs2", Hints::Own, false)),
    (0x0bd0_0bd0, of("lustre", Hints::Own, false)),
    (0x4750_4653, of("gpfs", Hints::Own, false)),
    (0x2003_0528, of("orangefs", Hints::Own, false)),
    (0x7375_7245, of("coda", Hints::Own, false)),
    (0x1983_0326, of("beegfs", Hints::Own, false)),
    (0x564c, of("ncpfs", Hints::Own, false)),
];

/// What is known of the file system with this `f_type`; of an unknown one, that hints may be missing.
fn by_type(f_type: u32) -> FileSystem {
    let known = KNOWN.iter().find(|(number, _)| *number == f_type);
    known.map_or(of("unknown", Hints::Some, false), |(_, fs)| *fs)
}

impl FileSystem {
    /// That of a directory, or of a file.
    pub(crate) fn at(path: &Path) -> FileSystem {
        rustix::fs::statfs(path).map_or(by_type(0), |s| by_type(s.f_type as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_machines_are_known() {
        for (f_type, name, hints, renumbers) in [
            (0xef53, "ext4", Hints::All, false),
            (0x0102_1994, "tmpfs", Hints::All, false),
            (0x794c_7630, "overlay", Hints::Some, false),
            (0x6969, "nfs", Hints::Own, false),
            (0x6573_5546, "fuse", Hints::Own, true),
            (0x0102_1997, "9p", Hints::Own, true),
            (0xff53_4d42, "cifs", Hints::Own, true),
            (0x1234_5678, "unknown", Hints::Some, false),
        ] {
            assert_eq!(by_type(f_type), FileSystem { name, hints, renumbers });
        }
        let mut numbers: Vec<u32> = KNOWN.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), KNOWN.len());
        assert_eq!(FileSystem::at(Path::new("/nowhere/at/all")).hints, Hints::Some);
    }
}
