//! Where a value came from.

use std::{fmt, path::PathBuf};

/// Where a value came from. A later one in this list wins over an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `bellhop.default.toml`, which is compiled in.
    Default,
    /// A configuration file.
    File {
        /// Which.
        path: PathBuf,
        /// The line of it, from 1, if it could be found.
        line: Option<usize>,
    },
    /// The environment: the name of the variable.
    Environment(String),
    /// The command line: the name of the flag.
    Flag(String),
}

impl Origin {
    /// How strong it is: the greater wins.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}
