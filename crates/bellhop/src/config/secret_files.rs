//! Secrets in files: those that the operator gives, and those that are made in the data directory on the first start.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{Config, ConfigError, Database, values};
use crate::{
    domain::{api_key, secret_text::SecretText},
    random::{Random, bytes},
    vault::{Vault, parse_ring},
};

/// Name of the file of the made operator key, in the data directory.
pub const OPERATOR_KEY_FILE: &str = "operator-key";
/// Name of the file of the made encryption key, in the data directory.
pub const ENCRYPTION_KEY_FILE: &str = "encryption-key";

/// Name of the file of the made secret of the operator's webhook, in the data directory.
pub const OPERATOR_WEBHOOK_SECRET_FILE: &str = "operator-webhook-secret";

/// What the file of the encryption key holds.
const ENCRYPTION_KEYS: &str = "encryption keys (64 hex digits, commas between)";

/// Bits of a file's mode that let others than its owner at it.
const OTHERS: u32 = 0o077;
/// No secret is longer; a larger file is a mistake.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// The secrets that a server runs with.
#[derive(Debug)]
pub struct Secrets {
    /// The operator's key: the newest one.
    pub operator_key: SecretText,
    /// Former ones that work as well, newest first.
    pub former_operator_keys: Vec<SecretText>,
    /// Encryption at rest.
    pub vault: Vault,
    /// What signs operational messages, if there is an operator's webhook.
    pub operator_webhook_secret: Option<SecretText>,
    /// Files that were made by this call, for the banner: a first start.
    pub made: Vec<PathBuf>,
}

impl Config {
    /// Makes the data directory if it is not there, and takes the secrets: as given, or from the data directory,
    /// where they are made if they are missing.
    pub fn open_secrets(&self, random: &dyn Random) -> Result<Secrets, ConfigError> {
        make_directory(&self.data_dir)?;
        let mut made = Vec::new();
        let operator_key = match &self.operator_key {
            Some(key) => key.clone(),
            None => open_or_make(
                &self.data_dir.join(OPERATOR_KEY_FILE),
                "an operator key",
                values::operator_key,
                || api_key::generate(random),
                &mut made,
            )?,
        };
        let mut operator_keys = values::operator_keys(operator_key.expose())
            .into_iter()
            .map(SecretText::new);
        let encryption_key = match &self.encryption_key {
            Some(key) => key.clone(),
            None => self.open_encryption_key(random, &mut made)?,
        };
        let vault =
            Vault::from_hex(encryption_key.expose()).expect("the key ring was checked when read");
        let operator_webhook_secret = self.open_operator_webhook_secret(random, &mut made)?;
        Ok(Secrets {
            operator_key: operator_keys.next().expect("a text has a first part"),
            former_operator_keys: operator_keys.collect(),
            vault,
            operator_webhook_secret,
            made,
        })
    }

    /// The key ring of this database in the data directory: as given, or from there. Makes nothing.
    pub fn open_vault(&self, database: &Path) -> Result<Vault, ConfigError> {
        let path = self.data_dir.join(ENCRYPTION_KEY_FILE);
        let key = match &self.encryption_key {
            Some(key) => key.clone(),
            None if !path.exists() => {
                return Err(ConfigError::KeyLost {
                    path,
                    database: database.to_owned(),
                });
            }
            None => read_made_keys(&path)?,
        };
        Ok(Vault::from_hex(key.expose()).expect("the key ring was checked when read"))
    }

    /// The encryption keys, newest first: as given, or from the made file. Makes nothing.
    pub fn known_keys(&self) -> Result<Vec<[u8; 32]>, ConfigError> {
        let path = self.data_dir.join(ENCRYPTION_KEY_FILE);
        let keys = match &self.encryption_key {
            Some(keys) => keys.clone(),
            None => read_made_keys(&path)?,
        };
        Ok(parse_ring(keys.expose()).expect("the key ring was checked when read"))
    }

    fn open_operator_webhook_secret(
        &self,
        random: &dyn Random,
        made: &mut Vec<PathBuf>,
    ) -> Result<Option<SecretText>, ConfigError> {
        match (&self.operator_webhook.url, &self.operator_webhook.secret) {
            (None, _) => Ok(None),
            (_, Some(secret)) => Ok(Some(secret.clone())),
            (Some(_), None) => open_or_make(
                &self.data_dir.join(OPERATOR_WEBHOOK_SECRET_FILE),
                "the secret of a webhook (whsec_...)",
                values::webhook_secret,
                || make_webhook_secret(random),
                made,
            )
            .map(Some),
        }
    }

    /// A new key beside an old database would open nothing in it, and be found out only by the first message.
    fn open_encryption_key(
        &self,
        random: &dyn Random,
        made: &mut Vec<PathBuf>,
    ) -> Result<SecretText, ConfigError> {
        let path = self.data_dir.join(ENCRYPTION_KEY_FILE);
        // A shared database says itself whether the key is its own.
        if let Database::Sqlite { path: database } = &self.database
            && database.exists()
            && !path.exists()
        {
            return Err(ConfigError::KeyLost {
                path,
                database: database.clone(),
            });
        }
        open_or_make(
            &path,
            ENCRYPTION_KEYS,
            values::encryption_key,
            || SecretText::new(hex(&make_encryption_key(random))),
            made,
        )
    }
}

/// Reads a secret from a file that the operator named. Its permissions are the operator's affair: orchestrators mount
/// secrets world-readable into a container that has one user.
pub(super) fn read_given(path: &Path) -> Result<String, ConfigError> {
    read(path).map_err(|error| failed("read", path, &error))
}

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_SECRET_BYTES {
        return Err(io::Error::other("it is too large to hold a secret"));
    }
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

fn open_or_make(
    path: &Path,
    expected: &'static str,
    parse: impl Fn(&str) -> Result<SecretText, String>,
    make: impl Fn() -> SecretText,
    made: &mut Vec<PathBuf>,
) -> Result<SecretText, ConfigError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if write_new(path, make().expose()).map_err(|error| failed("make", path, &error))? {
                made.push(path.to_owned());
            }
        }
        Err(error) => return Err(failed("read", path, &error)),
        Ok(_) => {}
    }
    // Read back also what was just made: what is used is what is on the disk, also if two processes made it at once.
    open_made(path, expected, parse)
}

fn open_made(
    path: &Path,
    expected: &'static str,
    parse: impl Fn(&str) -> Result<SecretText, String>,
) -> Result<SecretText, ConfigError> {
    let mode = fs::metadata(path)
        .map_err(|error| failed("read", path, &error))?
        .permissions()
        .mode()
        & 0o7777;
    if mode & OTHERS != 0 {
        return Err(ConfigError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let text = read(path).map_err(|error| failed("read", path, &error))?;
    parse(&text).map_err(|_| ConfigError::Damaged {
        path: path.to_owned(),
        expected,
    })
}

/// Writes a file that is there whole or not at all, even after a power cut. `false` if another process was faster.
fn write_new(path: &Path, text: &str) -> io::Result<bool> {
    let directory = path.parent().unwrap_or(Path::new("."));
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    writeln!(file, "{text}")?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {
            File::open(directory)?.sync_all()?;
            Ok(true)
        }
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

fn make_directory(path: &Path) -> Result<(), ConfigError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| failed("make", path, &error))
}

/// A new encryption key.
pub fn make_encryption_key(random: &dyn Random) -> [u8; 32] {
    bytes(random)
}

/// A key as the file has it.
pub(super) fn hex(key: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in key {
        write!(hex, "{byte:02x}").expect("a String takes any text");
    }
    hex
}

/// The made file of the encryption keys.
pub(super) fn read_made_keys(path: &Path) -> Result<SecretText, ConfigError> {
    open_made(path, ENCRYPTION_KEYS, values::encryption_key)
}

/// It is not what it must be.
pub(super) fn damaged_keys(path: &Path) -> ConfigError {
    ConfigError::Damaged {
        path: path.to_owned(),
        expected: ENCRYPTION_KEYS,
    }
}

fn make_webhook_secret(random: &dyn Random) -> SecretText {
    let secret = bellhop_webhook::Secret::from_bytes(bytes::<32>(random));
    SecretText::new(secret.expect("32 bytes are a secret").expose())
}

pub(super) fn failed(doing: &'static str, path: &Path, error: &io::Error) -> ConfigError {
    ConfigError::File {
        doing,
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
