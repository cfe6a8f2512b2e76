//! The log's directory: its lock, its name and its key. They live as long as the directory does.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::error::OpenError;

/// Rule 8: file systems on which a lock or a sync of another machine's disk cannot be trusted.
const NETWORK: [&str; 12] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs", "lustre", "fuse.s3fs"];

/// An open directory. The lock is held until it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) lock: File,
    pub(super) writer: Uuid,
    pub(super) key: [u8; 32],
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Directory, OpenError> {
        let disk = |action| move |source| OpenError::Disk { action, path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(disk("create"))?;
        let path = fs::canonicalize(path).map_err(disk("find"))?;
        if let Some(kind) = network_file_system(&path, &fs::read_to_string("/proc/self/mounts").unwrap_or_default()) {
            return Err(OpenError::NetworkFileSystem { directory: path, kind });
        }
        let lock = lock(&path)?;
        let writer = writer(&path.join("writer"))?;
        let key = key(&path.join("key"))?;
        Ok(Directory { path, lock, writer, key })
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    let disk = |source| OpenError::Disk { action: "lock", path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(disk)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { directory: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(disk(source)),
    }
}

fn writer(path: &Path) -> Result<Uuid, OpenError> {
    let text = made_once(path, || Ok(format!("{}\n", Uuid::new_v4()).into_bytes()))?;
    let text = String::from_utf8_lossy(&text);
    text.trim().parse().map_err(|_| OpenError::Identity {
        path: path.to_owned(),
        expected: "a UUID",
        found: format!("`{}`", text.trim().chars().take(40).collect::<String>()),
    })
}

fn key(path: &Path) -> Result<[u8; 32], OpenError> {
    let bytes = made_once(path, || {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        Ok(key.to_vec())
    })?;
    let found = format!("{} bytes", bytes.len());
    bytes.try_into().map_err(|_| OpenError::Identity { path: path.to_owned(), expected: "32 bytes", found })
}

/// The file's content; made, for the owner's eyes only, if it is not there.
fn made_once(path: &Path, content: impl FnOnce() -> io::Result<Vec<u8>>) -> Result<Vec<u8>, OpenError> {
    let disk = |action| move |source| OpenError::Disk { action, path: path.to_owned(), source };
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read.map_err(disk("read")),
    }
    let make = || {
        let content = content()?;
        let unfinished = path.with_extension("unfinished");
        let mut file = File::options().create(true).write(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(content)
    };
    make().map_err(disk("create"))
}

/// The kind of network file system that `path` is on, by the mount table (`man 5 fstab`); `None` on a local one, and where there is no such table.
fn network_file_system(path: &Path, mounts: &str) -> Option<String> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?.replace("\\040", " ");
        Some((point, fields.next()?))
    });
    // The last of equals covers the others.
    let (_, kind) = mounted.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.len())?;
    NETWORK.contains(&kind).then(|| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_says_what_the_file_system_is() {
        let mounts = "/dev/vda / ext4 rw 0 0\nnas:/x /mnt/my\\040data nfs4 rw 0 0\n/dev/vdb /mnt/my\\040data/local xfs rw 0 0\n";
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(network_file_system(Path::new(path), mounts).as_deref(), expected, "{path}");
        };
        check("/var/floe", None);
        check("/mnt/my data/wal", Some("nfs4"));
        check("/mnt/my data/local/wal", None);
        check("/mnt/my database", None);
    }

    #[test]
    fn a_second_process_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let first = Directory::open(directory.path()).unwrap();
        assert!(matches!(Directory::open(directory.path()), Err(OpenError::InUse { .. })));
        let (writer, key) = (first.writer, first.key);
        drop(first);
        let again = Directory::open(directory.path()).unwrap();
        assert_eq!((again.writer, again.key), (writer, key));
    }

    #[test]
    fn the_key_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let _open = Directory::open(directory.path()).unwrap();
        let mode = fs::metadata(directory.path().join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
