//! Where the encryption keys come from: they are read again while the server runs, and the made file is changed by
//! `bellhop key`.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, fchown},
    path::{Path, PathBuf},
};

use super::{Config, ConfigError, secret_files};
use crate::vault::parse_ring;

/// Where the ring is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRing {
    /// In the data directory, where it was made on the first start.
    Made(PathBuf),
    /// In a file that the operator named.
    Given(PathBuf),
    /// In a setting: it does not change while the process runs.
    Value,
}

/// A ring: keys, newest first.
pub type Keys = Vec<[u8; 32]>;

impl Config {
    /// Where the encryption keys are.
    pub fn key_ring(&self) -> KeyRing {
        match (&self.encryption_key, &self.encryption_key_file) {
            (None, _) => KeyRing::Made(self.data_dir.join(super::ENCRYPTION_KEY_FILE)),
            (Some(_), Some(path)) => KeyRing::Given(path.clone()),
            (Some(_), None) => KeyRing::Value,
        }
    }
}

impl KeyRing {
    /// What is in the file now; `None` if there is no file.
    pub fn read(&self) -> Result<Option<Keys>, ConfigError> {
        let (path, text) = match self {
            Self::Value => return Ok(None),
            Self::Made(path) => (
                path,
                secret_files::read_made_keys(path)?.expose().to_owned(),
            ),
            Self::Given(path) => (path, secret_files::read_given(path)?),
        };
        let keys = parse_ring(&text).map_err(|_| secret_files::damaged_keys(path))?;
        Ok(Some(keys))
    }
}

/// Changes the made file, whole or not at all, also after a power cut. Nobody else changes it meanwhile; its owner and its
/// mode stay.
pub fn change<E: From<ConfigError>>(
    path: &Path,
    change: impl FnOnce(Keys) -> Result<Keys, E>,
) -> Result<Keys, E> {
    let failed = |error: io::Error| secret_files::failed("change", path, &error);
    let directory = path.parent().unwrap_or(Path::new("."));
    let lock = File::open(directory).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let text = secret_files::read_made_keys(path)?;
    let keys = parse_ring(text.expose()).map_err(|_| secret_files::damaged_keys(path))?;
    let keys = change(keys)?;
    replace(path, directory, &keys).map_err(failed)?;
    Ok(keys)
}

/// Makes the owner of `path` the owner of this file, which was just made: who runs a command may be another than who runs
/// the server.
pub fn give_to_owner_of(path: &Path, file: &File) -> io::Result<()> {
    let (before, after) = (File::open(path)?.metadata()?, file.metadata()?);
    if (before.uid(), before.gid()) != (after.uid(), after.gid()) {
        fchown(file, Some(before.uid()), Some(before.gid()))?;
    }
    Ok(())
}

fn replace(path: &Path, directory: &Path, keys: &Keys) -> io::Result<()> {
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    let written: Vec<String> = keys.iter().map(secret_files::hex).collect();
    writeln!(file, "{}", written.join(","))?;
    give_to_owner_of(path, file.as_file())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_change_is_whole_and_private_and_a_refusal_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encryption-key");
        fs::write(&path, format!("{}\n", "0a".repeat(32))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let rotate = |mut keys: Keys| {
            keys.insert(0, [0xbb; 32]);
            Ok::<_, ConfigError>(keys)
        };
        let keys = change(&path, rotate).unwrap();
        assert_eq!(keys, [[0xbb; 32], [0x0a; 32]]);
        let ring = KeyRing::Made(path.clone());
        assert_eq!(ring.read().unwrap(), Some(keys));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

        let refused = || secret_files::damaged_keys(&path);
        assert!(change(&path, |_| Err::<Keys, _>(refused())).is_err());
        assert_eq!(ring.read().unwrap().unwrap().len(), 2);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left over"
        );

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(change(&path, rotate).is_err(), "others may read it");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "not a key").unwrap();
        assert!(change(&path, rotate).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a key");
    }
}
