//! What the commands have in common that ask a server: which server, with which key, and how the answer is printed.

mod desk;
mod output;
mod table;

use std::path::Path;

use anstream::eprintln;
use url::{Host, Url};

pub use desk::{Desk, Paging};
pub use output::{Lines, Output, Printed};
pub use table::{Column, clean, column, row};

use super::{Code, Failure, banner::urls, client::Client, secret_input::read_text, style::WARN};
use crate::{
    config::{Config, Sources, load},
    domain::secret_text::SecretText,
    random::SystemRandom,
};

const SERVER: &str = "BELLHOP_SERVER";
const KEY: &str = "BELLHOP_API_KEY";
const KEY_FILE: &str = "BELLHOP_API_KEY_FILE";

/// Which server. Its key is in BELLHOP_API_KEY or in the file that BELLHOP_API_KEY_FILE names; for a server on this machine,
/// the operator's key in its data directory is taken without either.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Server (the key: BELLHOP_API_KEY or BELLHOP_API_KEY_FILE)")]
pub struct RemoteArgs {
    /// The server [env: BELLHOP_SERVER] [default: the one that is set up here].
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Where the data of a server on this machine is, and the operator's key [default: ./bellhop-data].
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
}

impl RemoteArgs {
    /// As if by flags.
    pub fn of(server: Option<String>, data_dir: Option<String>) -> Self {
        Self { server, data_dir }
    }

    /// A client of that server.
    pub fn client(&self) -> Result<Client, Failure> {
        let flags = self.data_dir.iter().cloned();
        let flags = flags.map(|directory| ("data_dir", directory)).collect();
        let sources = Sources::of_process(flags, None);
        let given = |name: &str| sources.environment.get(name).cloned();
        let named = self.server.clone().or_else(|| given(SERVER));
        let key = match (given(KEY), given(KEY_FILE)) {
            (Some(_), Some(_)) => {
                let cause = format!("{KEY} and {KEY_FILE} are both set");
                return Err(Failure::new(Code::Usage, cause).hint(format!("unset {KEY}")));
            }
            (Some(text), None) => Some(SecretText::new(text.trim())),
            (None, Some(path)) => Some(SecretText::new(read_text(Path::new(&path))?.trim())),
            (None, None) => None,
        };
        if let (Some(named), Some(key)) = (&named, &key) {
            // The server is set up elsewhere: nothing that is set up here matters.
            return Client::new(checked(named)?.text, key.clone());
        }
        let config = load(&sources)?.config;
        let base = match &named {
            Some(named) => checked(named)?,
            None => checked(&urls(config.listen).swap_remove(0))?,
        };
        let key = match key {
            Some(key) => key,
            // It opens everything: it goes to this machine alone.
            None if base.is_here => operator_key(&config)?,
            None => return Err(no_key(&base.text)),
        };
        Client::new(base.text, key)
    }
}

/// A server's URL.
struct Base {
    text: String,
    is_here: bool,
}

fn checked(text: &str) -> Result<Base, Failure> {
    let wrong = |why: &str| {
        let cause = format!("{text} is no server's URL: {why}");
        Failure::new(Code::Usage, cause).hint("--server https://hooks.example.com")
    };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(wrong("it begins with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(wrong(
            "it has a host, perhaps a port and a path, and nothing else",
        ));
    }
    let is_here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return Err(wrong("it has no host")),
    };
    if url.scheme() == "http" && !is_here {
        eprintln!("{WARN}warning:{WARN:#} the key travels unencrypted to {text}; use https");
    }
    Ok(Base {
        text: url.as_str().trim_end_matches('/').to_owned(),
        is_here,
    })
}

fn operator_key(config: &Config) -> Result<SecretText, Failure> {
    if let Some(path) = config.operator_key_file()
        && !path.exists()
    {
        let cause = format!("there is no operator key at {}", path.display());
        return Err(Failure::new(Code::NotAllowed, cause).hint(
            "name the server's data directory with --data-dir, or the file of another key in BELLHOP_API_KEY_FILE",
        ));
    }
    Ok(config.open_secrets(&SystemRandom)?.operator_key)
}

fn no_key(base: &str) -> Failure {
    Failure::new(Code::NotAllowed, format_args!("there is no API key for {base}")).hint(format!(
        "name a file with one: export {KEY_FILE}=~/.bellhop-key; the operator makes one: bellhop api-key create --help"
    ))
}

/// Parts of a path or a query, written as a URL has them.
pub fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_key_stays_on_this_machine() {
        for (text, is_here) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost:8080/", true),
            ("http://[::1]:8080", true),
            ("https://hooks.example.com/bellhop/", false),
            ("https://127.0.0.1.example.com", false),
        ] {
            assert_eq!(checked(text).unwrap().is_here, is_here, "{text}");
        }
        let base = checked("https://hooks.example.com/bellhop/").unwrap();
        assert_eq!(base.text, "https://hooks.example.com/bellhop");
    }

    #[test]
    fn what_is_no_servers_url_is_refused() {
        for text in [
            "hooks.example.com",
            "ftp://a",
            "https://me:secret@a",
            "https://a?b=c",
            "unix:/x",
        ] {
            assert!(checked(text).is_err(), "{text}");
        }
    }
}
