//! How a command fails: a cause, what to do about it, and a code for scripts.

use std::{fmt, io, process::ExitCode};

use anstream::eprintln;

use super::style::{ERROR, HINT};
use crate::{config::ConfigError, store::StoreError};

/// What a script learns from the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// It worked.
    Ok = 0,
    /// None of the others.
    Other = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// What was asked for is not there.
    NotFound = 3,
    /// The key does not open this.
    NotAllowed = 4,
    /// The server refused: not in this state, or an invalid value.
    Refused = 5,
    /// No server answers.
    Unreachable = 6,
    /// A check was made, and failed.
    CheckFailed = 7,
    /// It took too long.
    TimedOut = 8,
}

/// Why a command ends without success.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    /// `None` when the command has said all there is to say.
    cause: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// With a cause: a phrase without a full stop.
    pub fn new(code: Code, cause: impl fmt::Display) -> Self {
        Self {
            code,
            cause: Some(cause.to_string()),
            hint: None,
        }
    }

    /// The command has printed what it found; only the code is left to tell.
    pub const fn told(code: Code) -> Self {
        Self {
            code,
            cause: None,
            hint: None,
        }
    }

    /// Of a database on another machine, shown without its password.
    pub fn away(error: StoreError, at: &str) -> Self {
        match error {
            StoreError::Database(_) => Self::new(Code::Unreachable, format_args!("{at}: {error}"))
                .hint("is it running, and is BELLHOP_DATABASE_URL right? psql takes the same one"),
            other => other.into(),
        }
    }

    /// With another code.
    #[must_use]
    pub fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// With the next thing to do, as exactly as possible.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether it is of this kind.
    pub fn has(&self, code: Code) -> bool {
        self.code == code
    }

    /// Prints it on stderr and gives the code for `main` to return.
    pub fn report(&self) -> ExitCode {
        if let Some(cause) = &self.cause {
            eprintln!("{ERROR}error:{ERROR:#} {cause}");
        }
        if let Some(hint) = &self.hint {
            eprintln!("{HINT}hint:{HINT:#} {hint}");
        }
        ExitCode::from(self.code as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cause.as_deref().unwrap_or_default())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Code::Usage, &error).hint(error.hint())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<ConfigError>() {
            Ok(config) => config.into(),
            Err(error) => Self::new(Code::Other, format_args!("{error:#}")),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // Whoever read our output has seen enough, as `head` does.
            return Self::told(Code::Ok);
        }
        Self::new(Code::Other, error)
    }
}
