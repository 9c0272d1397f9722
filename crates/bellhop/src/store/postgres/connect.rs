//! Connections: where to, how protected, how many, and what a failure of one means.

mod condition;

use std::{error::Error as _, str::FromStr, sync::Arc, time::Duration};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres::{Config, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use condition::condition;

use crate::{domain::secret_text::SecretText, store::StoreError};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long somebody waits for a connection of the pool before the store is called busy.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// After so long without an acknowledgement of what was sent, the other side is taken for gone.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);
/// The same where much is sent at once. A server that does not read for as long as a checkpoint takes is not gone, and
/// Linux counts that as well.
const PATIENT_PEER_TIMEOUT: Duration = Duration::from_mins(2);

/// Where the database is, and how to speak with it.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: MakeRustlsConnect,
    keeps_statements: bool,
}

/// Why a step failed, and whether doing all of it again may help: then nothing of it was written.
#[derive(Debug)]
pub struct Failed {
    /// As the caller sees it.
    pub error: StoreError,
    /// Whether the database gave up for the sake of another transaction.
    pub again: bool,
    /// Whether the database answered, and refused: something else may pass.
    pub is_refusal: bool,
    /// Whether somebody else held a lock for longer than the connection waits.
    pub is_locked: bool,
}

impl Address {
    /// Reads a URL as libpq has it. `sslrootcert` names a file of authorities (PEM) beside the system's; `sslmode`
    /// is `disable`, `prefer` (the default), or one that requires TLS. A certificate is always verified, and so is
    /// the name in it. `prepared_statements=off` is a word of Bellhop's own, for poolers that share connections and do
    /// not know prepared statements.
    pub fn parse(url: &SecretText) -> Result<Self, StoreError> {
        let Words {
            url,
            ca_file,
            keeps_statements,
        } = Words::of(url.expose())?;
        // The parser's own message may repeat what it was given.
        let mut config = Config::from_str(&url).map_err(|error| {
            refused(
                &error
                    .source()
                    .map_or_else(|| error.to_string(), ToString::to_string),
            )
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(PEER_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("bellhop");
        }
        Ok(Self {
            config,
            tls: tls(ca_file.as_deref())?,
            keeps_statements,
        })
    }

    /// Whether connections keep statements prepared, and are one's own: then they also listen.
    pub fn keeps_statements(&self) -> bool {
        self.keeps_statements
    }

    /// The same for long work: a server that is too busy to take what it is sent is waited for.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.config.tcp_user_timeout(PATIENT_PEER_TIMEOUT);
        self
    }

    /// Whether it names a password.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// What people may know of it: neither user nor password.
    pub fn shown(&self) -> String {
        use tokio_postgres::config::Host;
        let ports = self.config.get_ports();
        let host = |(index, host): (usize, &Host)| {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(path) => path.display().to_string(),
            }
        };
        let hosts: Vec<_> = self
            .config
            .get_hosts()
            .iter()
            .enumerate()
            .map(host)
            .collect();
        let database = self
            .config
            .get_dbname()
            .or(self.config.get_user())
            .unwrap_or("");
        format!("postgres://{}/{database}", hosts.join(","))
    }

    /// A pool of at most so many connections, each of which begins with these settings. Opens none yet.
    pub fn pool(&self, most: usize, settings: &'static str) -> Result<Pool, StoreError> {
        // Whether a connection is open is all that is looked at before it is used: a question to the database would
        // cost a round trip each time.
        let how = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(self.config.clone(), self.tls.clone(), how);
        Pool::builder(manager)
            .max_size(most)
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                Box::pin(async move {
                    let set = client.batch_execute(settings).await;
                    set.map_err(HookError::Backend)
                })
            }))
            .wait_timeout(Some(WAIT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT * 2))
            .build()
            .map_err(|error| StoreError::Database(error.to_string()))
    }

    /// A connection of its own, for listening.
    pub async fn connect(
        &self,
    ) -> Result<
        (
            tokio_postgres::Client,
            tokio_postgres::Connection<
                tokio_postgres::Socket,
                <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<
                    tokio_postgres::Socket,
                >>::Stream,
            >,
        ),
        tokio_postgres::Error,
    > {
        self.config.connect(self.tls.clone()).await
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("at", &self.shown())
            .finish_non_exhaustive()
    }
}

/// A URL without what the client does not know: it names the file of authorities, has stricter words for the mode, and a
/// word of our own.
struct Words {
    url: String,
    ca_file: Option<String>,
    keeps_statements: bool,
}

impl Words {
    /// Not read as a URL: there may be several hosts.
    fn of(text: &str) -> Result<Self, StoreError> {
        let mut words = Self {
            url: text.to_owned(),
            ca_file: None,
            keeps_statements: true,
        };
        let Some((address, query)) = text.split_once('?') else {
            return Ok(words);
        };
        let mut kept = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match (&*name, &*value) {
                ("sslrootcert", "system") | ("prepared_statements", "on") => {}
                ("sslrootcert", path) => words.ca_file = Some(path.to_owned()),
                ("sslmode", "verify-ca" | "verify-full") => {
                    kept.append_pair("sslmode", "require");
                }
                ("sslmode", "allow") => {
                    kept.append_pair("sslmode", "prefer");
                }
                ("prepared_statements", "off") => words.keeps_statements = false,
                ("prepared_statements", _) => {
                    return Err(refused("prepared_statements is on or off"));
                }
                _ => {
                    kept.append_pair(&name, &value);
                }
            }
        }
        // The client takes "+" for itself.
        let kept = kept.finish().replace('+', "%20");
        words.url = format!("{address}?{kept}");
        Ok(words)
    }
}

fn tls(ca_file: Option<&str>) -> Result<MakeRustlsConnect, StoreError> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // One that cannot be read is one that nothing is verified with.
        let _ = roots.add(certificate);
    }
    if let Some(path) = ca_file {
        let failed =
            |error: &dyn std::fmt::Display| refused(&format!("sslrootcert {path}: {error}"));
        let further = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
        for certificate in further {
            let certificate = certificate.map_err(|error| failed(&error))?;
            roots.add(certificate).map_err(|error| failed(&error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Database(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn refused(why: &str) -> StoreError {
    StoreError::Database(format!("BELLHOP_DATABASE_URL cannot be used: {why}"))
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        let again = error.code().is_some_and(|code| {
            [
                &SqlState::UNIQUE_VIOLATION,
                &SqlState::T_R_SERIALIZATION_FAILURE,
                &SqlState::T_R_DEADLOCK_DETECTED,
                // Of statements that were sent together another one has failed, for a reason of its own.
                &SqlState::IN_FAILED_SQL_TRANSACTION,
            ]
            .contains(&code)
        });
        // What an operator's intervention or a standby says is about the connection, not about the statement.
        let is_refusal = error.code().is_some_and(|code| {
            *code == SqlState::IN_FAILED_SQL_TRANSACTION
                || !["08", "57", "25"].contains(&&code.code()[..2])
        });
        let is_locked = error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
        Self {
            error: error.into(),
            again,
            is_refusal,
            is_locked,
        }
    }
}

impl From<PoolError> for Failed {
    fn from(error: PoolError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self {
            error,
            again: false,
            is_refusal: false,
            is_locked: false,
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => Self::Busy,
            PoolError::Closed => Self::Closed,
            other => Self::Database(other.to_string()),
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        // The message of the database alone: its detail may repeat values, and they must not be logged.
        if let Some(said) = error.as_db_error() {
            return Self::Database(format!("{} ({})", said.message(), said.code().code()));
        }
        let because = error.source().map(|source| format!(": {source}"));
        let text = format!("{error}");
        match because {
            Some(because) if !text.ends_with(&because) => {
                Self::Database(format!("{text}{because}"))
            }
            _ => Self::Database(text),
        }
    }
}
