//! The secrets of a webhook, as `receive` and `verify` take them: from a file, from stdin or from the environment, and
//! never from the command line, where every process of the machine could read them.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use bellhop_webhook::{Secret, Verifier, VerifyingKey};

use super::{Code, Failure};
use crate::{config::Sources, domain::secret_text::SecretText, receiving::GivenSecret};

const VARIABLE: &str = "BELLHOP_WEBHOOK_SECRET";
const FILE_VARIABLE: &str = "BELLHOP_WEBHOOK_SECRET_FILE";

/// Where the webhook's secrets are. Each source may have several, with spaces or line breaks between.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SecretArgs {
    /// A file with the webhook's secrets (whsec_...) or verifying keys (whpk_...)
    /// [env: BELLHOP_WEBHOOK_SECRET, BELLHOP_WEBHOOK_SECRET_FILE].
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// Read the secrets from stdin.
    #[arg(long)]
    secret_stdin: bool,
}

impl SecretArgs {
    /// Whether stdin is taken.
    pub const fn takes_stdin(&self) -> bool {
        self.secret_stdin
    }

    /// All secrets that are given; the environment counts only if no flag gives any.
    pub fn read(&self) -> Result<Vec<GivenSecret>, Failure> {
        let mut secrets = Vec::new();
        for path in &self.secret_file {
            secrets.extend(in_file(path)?);
        }
        if self.secret_stdin {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text)?;
            secrets.extend(split("stdin", &text));
        }
        if secrets.is_empty() {
            let environment = Sources::of_process(vec![], None).environment;
            if let Some(text) = environment.get(VARIABLE) {
                secrets.extend(split(VARIABLE, text));
            } else if let Some(path) = environment.get(FILE_VARIABLE) {
                secrets.extend(in_file(Path::new(path))?);
            }
        }
        Ok(secrets)
    }
}

/// The secrets in a file.
pub fn in_file(path: &Path) -> Result<Vec<GivenSecret>, Failure> {
    let text = read_text(path)?;
    Ok(split(&path.display().to_string(), &text))
}

/// Reads a file of text, or says which one cannot be read.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| cannot_read(path, &error))
}

/// The failure that a file cannot be read.
pub fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    let code = if error.kind() == std::io::ErrorKind::NotFound {
        Code::NotFound
    } else {
        Code::Other
    };
    let path = path.display();
    Failure::new(code, format_args!("cannot read {path}: {error}")).hint(format!("ls -l {path}"))
}

/// A verifier of these secrets; `None` without any.
pub fn verifier(secrets: &[GivenSecret]) -> Result<Option<Verifier>, Failure> {
    let (mut symmetric, mut keys) = (Vec::new(), Vec::new());
    for GivenSecret { label, text, .. } in secrets {
        let refused = |error: &dyn std::fmt::Display| {
            Failure::new(Code::Usage, format_args!("the secret in {label} cannot be used: {error}"))
                .hint("a secret is whsec_ and base64, as the webhook's creation showed it; a verifying key is whpk_ and base64")
        };
        if text.expose().starts_with("whpk_") {
            keys.push(
                text.expose()
                    .parse::<VerifyingKey>()
                    .map_err(|error| refused(&error))?,
            );
        } else {
            symmetric.push(
                text.expose()
                    .parse::<Secret>()
                    .map_err(|error| refused(&error))?,
            );
        }
    }
    Ok((!secrets.is_empty()).then(|| Verifier::new(symmetric, keys)))
}

fn split(label: &str, text: &str) -> Vec<GivenSecret> {
    text.split_whitespace()
        .map(|text| GivenSecret {
            label: label.to_owned(),
            text: SecretText::new(text),
            is_current: true,
        })
        .collect()
}
