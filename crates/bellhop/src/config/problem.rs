//! What can be wrong with a configuration, and what to do about it.

use std::{fmt, path::PathBuf};

use super::Origin;

/// Why Bellhop does not start with this configuration. Never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A name that no setting has: all of them that were found.
    #[error("{}", unknown_text(.0))]
    Unknown(Vec<UnknownName>),
    /// A value that the setting cannot have.
    #[error("{setting} is {value}, set by {origin}: {allowed}")]
    Value {
        /// The setting.
        setting: String,
        /// What was given, or a placeholder if it is a secret.
        value: String,
        /// Where.
        origin: Origin,
        /// What would be right.
        allowed: String,
    },
    /// A secret is given twice with the same strength.
    #[error("{setting} is set twice, by {value_origin} and as a file by {file_origin}")]
    Twice {
        /// The setting.
        setting: &'static str,
        /// Where the value is given.
        value_origin: Origin,
        /// Where the file is given.
        file_origin: Origin,
    },
    /// A setting that another one needs.
    #[error("{needed_by} is set, and {setting} is not")]
    Missing {
        /// What is missing.
        setting: &'static str,
        /// What needs it.
        needed_by: &'static str,
    },
    /// A variable of OpenTelemetry that asks for what there is not. Its value is not repeated where it may hold a secret.
    #[error("{variable} {reason}")]
    Traces {
        /// Which.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// A secret must not be on a command line, where every process of the machine can read it.
    #[error("{0} is a secret, and no flag")]
    SecretFlag(String),
    /// A file that cannot be read or made.
    #[error("cannot {doing} {}: {reason}", path.display())]
    File {
        /// `read`, `make` ...
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The configuration file is not TOML.
    #[error("{} is not TOML: {reason}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// A file with a secret that others can read.
    #[error("{} holds a secret, and others on this machine may read it (mode {mode:04o})", path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// There is a database, and the key that it was encrypted with is gone.
    #[error(
        "{} is missing, and the database {} was encrypted with the key in it",
        path.display(),
        database.display()
    )]
    KeyLost {
        /// Where the key should be.
        path: PathBuf,
        /// What it opens.
        database: PathBuf,
    },
    /// The file of a secret in the data directory does not hold one.
    #[error("{} does not hold {expected}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
}

/// A name that no setting has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// As it was written.
    pub name: String,
    /// Where.
    pub origin: Origin,
    /// What was probably meant.
    pub meant: Option<String>,
}

impl ConfigError {
    /// The next thing to do.
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown(names) => {
                let meant: Vec<_> = names
                    .iter()
                    .filter_map(|name| name.meant.as_deref())
                    .collect();
                if meant.is_empty() {
                    "bellhop config show lists every setting".to_owned()
                } else {
                    format!("did you mean {}?", meant.join(", "))
                }
            }
            Self::Value { setting, .. } => {
                format!(
                    "bellhop.default.toml explains {setting}; `bellhop config show --origin` shows what is set where"
                )
            }
            Self::Twice { setting, .. } => {
                format!(
                    "keep one: {setting} with the value, or {setting}_file with the path of a file that holds it"
                )
            }
            Self::Missing { setting, needed_by } => format!(
                "set {} as well; bellhop.default.toml explains {needed_by}",
                super::setting::variable(setting)
            ),
            Self::Traces { remedy, .. } => remedy.clone(),
            Self::SecretFlag(name) => {
                let variable = super::setting::variable(name);
                format!("set {variable}, or {variable}_FILE to the path of a file that holds it")
            }
            Self::File { path, .. } => format!(
                "check that it exists and who may use it: ls -ld {}",
                path.display()
            ),
            Self::Syntax { .. } => {
                "settings are written as in: listen = \"127.0.0.1:8080\"".to_owned()
            }
            Self::KeyLost { path, .. } => format!(
                "restore {} from a backup, or give the key in BELLHOP_ENCRYPTION_KEY",
                path.display()
            ),
            Self::Exposed { path, .. } => format!("chmod 600 {}", path.display()),
            Self::Damaged { path, .. } => format!(
                "restore it from a backup, or, if nothing was stored with it yet: rm {}",
                path.display()
            ),
        }
    }
}

fn unknown_text(names: &[UnknownName]) -> String {
    names
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Environment(_) => write!(f, "{} in the environment is no setting", self.name),
            origin => write!(f, "{} in {origin} is no setting", self.name),
        }
    }
}
