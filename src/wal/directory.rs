//! The log's directory: its lock, its name and its key. They live as long as the directory does.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::error::OpenError;
use super::segment;

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
        let owner = owner(&path).map_err(disk("read"))?;
        if let Some(owner) = owner.filter(|_| !path.join("writer").exists()) {
            return Err(OpenError::NoWriter { path: path.join("writer"), owner });
        }
        if owner.is_some() && !path.join("key").exists() {
            tracing::warn!(
                directory = %path.display(),
                "the key of the log's request hashes is missing and is made anew: a request sent again is not known for once"
            );
        }
        let writer = writer(&path.join("writer"))?;
        let key = key(&path.join("key"))?;
        Ok(Directory { path, lock, writer, key })
    }
}

/// Whose log stands in the directory, by a header of its segments or of its journal; nil if none can be read, `None` if there is no log.
fn owner(directory: &Path) -> io::Result<Option<Uuid>> {
    let mut owner = None;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Where either header has it.
        let at = match name.as_str() {
            name if segment::first_position(name).is_some() => 16,
            "journal.0" | "journal.1" => 20,
            _ => continue,
        };
        let mut id = [0; 16];
        let is_whole = File::open(entry.path())?.read_exact_at(&mut id, at).is_ok();
        let found = if is_whole { Uuid::from_bytes(id) } else { Uuid::nil() };
        owner = owner.filter(|owner: &Uuid| !owner.is_nil()).or(Some(found));
    }
    Ok(owner)
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
    fn a_log_without_its_name_is_not_given_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut header = [0; 64];
        header[20..36].copy_from_slice(Uuid::from_u128(7).as_bytes());
        fs::write(directory.path().join("journal.0"), header).unwrap();
        let refused = Directory::open(directory.path()).unwrap_err();
        assert!(matches!(refused, OpenError::NoWriter { owner, .. } if owner == Uuid::from_u128(7)), "{refused}");
        assert!(!directory.path().join("writer").exists());
        // What the message says to do.
        fs::write(directory.path().join("writer"), Uuid::from_u128(7).to_string()).unwrap();
        assert_eq!(Directory::open(directory.path()).unwrap().writer, Uuid::from_u128(7));
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
