//! Settings: flag > `BELLHOP_*` > `bellhop.toml` > `bellhop.default.toml`. The only place that reads the environment.
//!
//! What comes out is typed and valid. A secret is given, or made in the data directory on the first start.

mod key_ring;
mod layers;
mod mail;
mod origin;
mod problem;
mod secret_files;
mod setting;
mod traces;
mod values;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use key_ring::{KeyRing, change as change_key_ring, give_to_owner_of};
pub use layers::Sources;
pub use origin::Origin;
pub use problem::{ConfigError, UnknownName};
pub use secret_files::{ENCRYPTION_KEY_FILE, OPERATOR_KEY_FILE, Secrets, make_encryption_key};
pub use setting::{SETTINGS, Setting, flag, variable};
pub use traces::Traces;
pub use values::{ForwardedHeader, LogFormat};

use crate::{
    delivery::{
        egress::{Network, PortRange},
        operational::MailOptions,
        retention::Keep,
    },
    domain::secret_text::SecretText,
};
use layers::Layers;

/// How this process is set up. Valid, whole, and free to show: secrets are redacted.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where the API is reached from outside, without a slash at its end.
    pub public_url: Option<String>,
    /// Networks of proxies that are believed when they say who connected to them.
    pub trusted_proxies: Vec<Network>,
    /// The header in which they say it.
    pub forwarded_header: ForwardedHeader,
    /// Where the database and the made keys live.
    pub data_dir: PathBuf,
    /// Which database.
    pub database: Database,
    /// What webhooks may reach.
    pub egress: Egress,
    /// How long a former access token works.
    pub token_overlap: Duration,
    /// How long a body that carries an access token is kept after its deliveries have ended; `None`: for ever.
    pub erasure_grace: Option<Duration>,
    /// How long what has ended, or was deleted, is kept.
    pub keep: Keep,
    /// Most requests to receivers at one time, over all webhooks.
    pub max_in_flight: usize,
    /// Most requests at one time to one host.
    pub max_in_flight_per_host: usize,
    /// Most requests a second with one application's key; `None`: no limit.
    pub application_key_rate: Option<u32>,
    /// Most requests a second from one address to what needs no key; `None`: no limit.
    pub keyless_rate: Option<u32>,
    /// Whether the dashboard has a built-in receiver.
    pub play: bool,
    /// How long requests in flight may take to end when the process is told to stop.
    pub drain: Duration,
    /// What is logged and how.
    pub log: Log,
    /// Where operational messages are posted to.
    pub operator_webhook: OperatorWebhook,
    /// How they are mailed, if they are.
    pub mail: Option<MailOptions>,
    /// Where traces go, if they do.
    pub traces: Option<Traces>,
    /// The operator's key, if it is given.
    operator_key: Option<SecretText>,
    /// The key ring, if it is given.
    encryption_key: Option<SecretText>,
    /// The file that it was given in, if it was.
    encryption_key_file: Option<PathBuf>,
}

/// Which database keeps everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file in the data directory.
    Sqlite {
        /// Which.
        path: PathBuf,
    },
    /// A PostgreSQL server, which replicas share.
    Postgres {
        /// Where it is. May hold a password.
        url: SecretText,
    },
}

/// What webhooks may reach beside the public internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// Networks, over http as well.
    pub allow: Vec<Network>,
    /// Ports and ranges of ports that a URL may name.
    pub ports: Vec<PortRange>,
    /// Further certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
}

/// Where operational messages are posted to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperatorWebhook {
    /// The URL, if there is one. The guard judges it when the server is built.
    pub url: Option<SecretText>,
    /// What signs, if it is given.
    secret: Option<SecretText>,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A filter of tracing-subscriber's form, known to be valid.
    pub filter: String,
    /// How.
    pub format: LogFormat,
}

/// A configuration with the account of where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting, in the documented order.
    pub shown: Vec<Shown>,
}

/// One setting, for people. Secrets are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The setting.
    pub name: &'static str,
    /// Its value; `None` if nothing sets it.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
}

/// How a secret is shown.
const MASK: &str = "[secret]";

impl Config {
    /// The defaults with these values for some settings, read from nowhere else. For the demo and for tests.
    pub fn of_flags(flags: Vec<(&'static str, String)>) -> Result<Self, ConfigError> {
        load(&Sources::of_flags(flags)).map(|loaded| loaded.config)
    }

    /// Whether other replicas may use the database as well.
    pub fn is_shared(&self) -> bool {
        matches!(self.database, Database::Postgres { .. })
    }

    /// Where the operator's key is, if it was not given: `None` if it was.
    pub fn operator_key_file(&self) -> Option<PathBuf> {
        self.operator_key
            .is_none()
            .then(|| self.data_dir.join(OPERATOR_KEY_FILE))
    }
}

impl Config {
    /// Where the newest link to sign in to the dashboard is kept.
    pub fn sign_in_link_file(&self) -> PathBuf {
        self.data_dir.join("sign-in-link")
    }
}

/// Reads, merges and checks all settings.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut reader = Reader {
        layers: Layers::read(sources)?,
        shown: Vec::with_capacity(SETTINGS.len()),
    };
    let listen = reader.read("listen", values::socket_address)?;
    let public_url = reader.read_optional("public_url", values::public_url)?;
    let trusted_proxies = reader.read("trusted_proxies", values::list)?;
    let forwarded_header = reader.read("forwarded_header", values::forwarded_header)?;
    let data_dir = reader.read("data_dir", values::path)?;
    let database_url = reader.read_secret("database_url", values::database_url)?;
    let operator_key = reader.read_secret("operator_key", values::operator_key)?;
    let encryption_key = reader.read_secret_of("encryption_key", values::encryption_key)?;
    let (encryption_key, encryption_key_file) = encryption_key.unzip();
    let egress = Egress {
        allow: reader.read("egress_allow", values::list)?,
        ports: reader.read("egress_ports", values::ports)?,
        ca_file: reader.read_optional("egress_ca_file", values::path)?,
    };
    let operator_webhook = OperatorWebhook {
        url: reader.read_secret("operator_webhook_url", values::webhook_url)?,
        secret: reader.read_secret("operator_webhook_secret", values::webhook_secret)?,
    };
    let mail = reader.mail()?;
    let config = Config {
        listen,
        public_url,
        trusted_proxies,
        forwarded_header,
        database: database_url.unwrap_or_else(|| Database::in_directory(&data_dir)),
        data_dir,
        operator_key,
        encryption_key,
        encryption_key_file: encryption_key_file.flatten(),
        egress,
        operator_webhook,
        mail,
        traces: traces::read(&sources.environment)?,
        token_overlap: reader.read("token_overlap_seconds", values::seconds(0..=30 * 86_400))?,
        erasure_grace: reader.read("erasure_grace_seconds", values::wait_or_never)?,
        keep: Keep {
            deliveries: reader.read("delivery_retention_seconds", values::kept)?,
            tombstones: reader.read("tombstone_retention_seconds", values::kept)?,
            audit: reader.read("audit_retention_seconds", values::kept)?,
        },
        max_in_flight: reader.read("max_in_flight", values::count(1..=65_536))?,
        max_in_flight_per_host: reader.read("max_in_flight_per_host", values::count(1..=65_536))?,
        application_key_rate: reader.read("application_key_rate", values::rate)?,
        keyless_rate: reader.read("keyless_rate", values::rate)?,
        play: reader.read("play", values::yes_or_no)?,
        drain: reader.read("drain_seconds", values::seconds(0..=600))?,
        log: Log {
            filter: reader.read("log", values::log_filter)?,
            format: reader.read("log_format", values::log_format)?,
        },
    };
    Ok(Loaded {
        config,
        shown: reader.shown,
    })
}

impl Database {
    fn in_directory(data_dir: &Path) -> Self {
        Self::Sqlite {
            path: data_dir.join("bellhop.db"),
        }
    }
}

/// Takes settings out of the layers one by one, and keeps account of them.
struct Reader {
    layers: Layers,
    shown: Vec<Shown>,
}

impl Reader {
    /// A setting that always has a value.
    fn read<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let (text, origin) = self
            .layers
            .get(name)?
            .expect("bellhop.default.toml sets each setting that is not optional");
        let parsed = checked(name, &text, &origin, false, parse)?;
        self.show(name, Some(text), origin);
        Ok(parsed)
    }

    /// A setting that may be unset; an empty text unsets it.
    fn read_optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((text, origin)) = self.layers.get(name)?.filter(|(text, _)| !text.is_empty())
        else {
            self.show(name, None, Origin::Default);
            return Ok(None);
        };
        let parsed = checked(name, &text, &origin, false, parse)?;
        self.show(name, Some(text), origin);
        Ok(Some(parsed))
    }

    /// A secret: given as a value, in a file, or not at all. Of the two ways the one from the stronger origin wins.
    fn read_secret<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let read = self.read_secret_of(name, parse)?;
        Ok(read.map(|(secret, _)| secret))
    }

    /// The same with the file that it was in.
    fn read_secret_of<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<(T, Option<PathBuf>)>, ConfigError> {
        let file_name = format!("{name}_file");
        let is_set = |(text, _): &(String, Origin)| !text.is_empty();
        let value = self.layers.get(name)?.filter(is_set);
        let file = self.layers.get(&file_name)?.filter(is_set);
        let (text, origin, path) = match (value, file) {
            (None, None) => {
                self.show(name, None, Origin::Default);
                return Ok(None);
            }
            (Some((_, value_origin)), Some((_, file_origin)))
                if value_origin.rank() == file_origin.rank() =>
            {
                return Err(ConfigError::Twice {
                    setting: name,
                    value_origin,
                    file_origin,
                });
            }
            (Some((text, origin)), file)
                if file
                    .as_ref()
                    .is_none_or(|(_, other)| other.rank() < origin.rank()) =>
            {
                (text, origin, None)
            }
            (_, Some((path, origin))) => {
                let text = secret_files::read_given(Path::new(&path))?;
                (text, origin, Some(path))
            }
            (Some((text, origin)), None) => (text, origin, None),
        };
        let parsed = checked(name, &text, &origin, true, parse)?;
        let shown = path
            .as_ref()
            .map_or_else(|| MASK.to_owned(), |path| format!("{MASK} in {path}"));
        self.show(name, Some(shown), origin);
        Ok(Some((parsed, path.map(PathBuf::from))))
    }

    /// Mail needs a server, a sender and somebody who gets it.
    fn mail(&mut self) -> Result<Option<MailOptions>, ConfigError> {
        let server = self.read_secret("smtp_url", mail::server)?;
        let from = self.read_optional("smtp_from", mail::mailbox)?;
        let to = self.read_optional("smtp_to", mail::mailboxes)?;
        let Some(server) = server else {
            return Ok(None);
        };
        let missing = |setting| ConfigError::Missing {
            setting,
            needed_by: "smtp_url",
        };
        Ok(Some(MailOptions {
            server,
            from: from.ok_or(missing("smtp_from"))?,
            to: to.ok_or(missing("smtp_to"))?,
            authorities: None,
        }))
    }

    fn show(&mut self, name: &'static str, value: Option<String>, origin: Origin) {
        self.shown.push(Shown {
            name,
            value,
            origin,
        });
    }
}

fn checked<T>(
    name: &str,
    text: &str,
    origin: &Origin,
    is_secret: bool,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, ConfigError> {
    parse(text).map_err(|allowed| ConfigError::Value {
        setting: name.to_owned(),
        value: if is_secret {
            MASK.to_owned()
        } else {
            format!("\"{text}\"")
        },
        origin: origin.clone(),
        allowed,
    })
}
