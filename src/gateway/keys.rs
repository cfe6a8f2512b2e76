//! The two keys that a gateway needs, made at the first start: one for ids, one for client addresses.
//!
//! They stand beside the log's directory, under `keys/`, readable by their owner only. The id key never changes: ids that were derived
//! under another key would be other ids. Replicas that write to one catalog must share both, so a catalog elsewhere wants them
//! in the configuration.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Shorter keys are refused, in a file as in the configuration.
const LEAST_BYTES: usize = crate::config::Secret::LEAST_KEY_BYTES;
const MADE_BYTES: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot use key file {path}: {source}", path = .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("key file {path} holds {bytes} bytes, expected at least {LEAST_BYTES}: restore it from a backup, a new key would make other ids", path = .path.display())]
    TooShort { path: PathBuf, bytes: usize },
    #[error(
        "`{setting}` is missing, and so is {path}: replicas that write to one catalog must share it; set it from a secret \
         (`openssl rand -hex 32` makes a good one), or put the key of the first replica there", path = .path.display()
    )]
    Shared { setting: &'static str, path: PathBuf },
    #[error("`{setting}` holds {bytes} bytes, expected at least {LEAST_BYTES}; `openssl rand -hex 32` makes a good one")]
    TooShortSetting { setting: &'static str, bytes: usize },
}

/// One key: from the configuration, else from its file, which is made where it is absent; not if it is `shared` with other replicas.
pub fn load(setting: &'static str, given: Option<&str>, directory: &Path, file: &str, shared: bool) -> Result<Vec<u8>, KeyError> {
    if let Some(given) = given {
        if given.len() < LEAST_BYTES {
            return Err(KeyError::TooShortSetting { setting, bytes: given.len() });
        }
        return Ok(given.as_bytes().to_vec());
    }
    let path = directory.join(file);
    let at = |source| KeyError::File { path: path.clone(), source };
    match fs::read(&path) {
        Ok(key) if key.len() < LEAST_BYTES => Err(KeyError::TooShort { path, bytes: key.len() }),
        Ok(key) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::NotFound && shared => Err(KeyError::Shared { setting, path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = make(directory, &path).map_err(at)?;
            tracing::warn!(
                path = %path.display(),
                "made a key for `{setting}`: keep a copy, and give it to every replica that writes to the same tables"
            );
            Ok(key)
        }
        Err(error) => Err(at(error)),
    }
}

/// Writes a random key so that a crash leaves either no file or a whole one. Of two first starts at once one makes the file, and both
/// have its key.
fn make(directory: &Path, path: &Path) -> io::Result<Vec<u8>> {
    fs::create_dir_all(directory)?;
    let mut key = vec![0; MADE_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&key)?;
    file.sync_all()?;
    // A link, unlike a rename, never takes the place of a file.
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => key = fs::read(path)?,
        linked => linked?,
    }
    fs::File::open(directory)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_only_and_then_kept() {
        let directory = tempfile::tempdir().unwrap();
        let first = load("map.id_key", None, directory.path(), "id.key", false).unwrap();
        let again = load("map.id_key", None, directory.path(), "id.key", false).unwrap();
        assert_eq!(first, again);
        assert_eq!(first.len(), MADE_BYTES);
        let mode = fs::metadata(directory.path().join("id.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_another_start_made_meanwhile_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("id.key");
        fs::write(&path, [7; MADE_BYTES]).unwrap();
        assert_eq!(make(directory.path(), &path).unwrap(), [7; MADE_BYTES]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn a_given_key_leaves_the_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let key = load("map.id_key", Some("0123456789abcdef"), directory.path(), "id.key", false).unwrap();
        assert_eq!(key, b"0123456789abcdef");
        assert!(!directory.path().join("id.key").exists());
    }

    #[test]
    fn short_keys_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(load("hash_ip.key", Some("short"), directory.path(), "ip.key", false).is_err());
        fs::write(directory.path().join("ip.key"), b"short").unwrap();
        assert!(load("hash_ip.key", None, directory.path(), "ip.key", false).is_err());
    }

    #[test]
    fn a_key_that_replicas_share_is_never_made_but_taken_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let error = load("map.id_key", None, directory.path(), "id.key", true).unwrap_err().to_string();
        assert!(error.contains("`map.id_key` is missing") && !directory.path().join("id.key").exists(), "{error}");
        let made = load("map.id_key", None, directory.path(), "id.key", false).unwrap();
        assert_eq!(load("map.id_key", None, directory.path(), "id.key", true).unwrap(), made);
    }
}
