//! From a host name to its addresses: fully qualified, without hosts file and search list, within five seconds.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{op::ResponseCode, rr::Name},
};
use tokio::{sync::OnceCell, time::timeout};

/// Finds the addresses of a host name.
#[async_trait]
pub trait Resolve: Send + Sync + fmt::Debug {
    /// All addresses of `name`, a lower-case ASCII name without trailing dot. Never an empty list.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError>;
}

/// Why a name has no addresses for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name does not exist, or has neither A nor AAAA records.
    #[error("the name does not exist or has no address")]
    NotFound,
    /// The name servers answered with an error, or not at all as they should.
    #[error("the name servers answered with an error")]
    Failed,
    /// No answer in time.
    #[error("the name servers did not answer in time")]
    TimedOut,
}

/// How long one name may take, all name servers and repetitions together.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one name server may take. Two tries fit into [`RESOLVE_TIMEOUT`].
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);
const CACHED_ANSWERS: u64 = 1024;
/// A receiver that moves is found again within this time, whatever its records say.
const CACHED_AT_MOST: Duration = Duration::from_mins(5);
/// A name that has just been published is found within this time.
const CACHED_MISSING_AT_MOST: Duration = Duration::from_secs(10);

/// Asks name servers: the system's, read from `/etc/resolv.conf` when the first name is asked for, or given ones.
pub struct SystemResolver {
    name_servers: Vec<SocketAddr>,
    limit: Duration,
    resolver: OnceCell<TokioResolver>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::asking(Vec::new())
    }
}

impl SystemResolver {
    /// Costs nothing until the first name is asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks these name servers instead of the system's.
    pub const fn asking(name_servers: Vec<SocketAddr>) -> Self {
        Self {
            name_servers,
            limit: RESOLVE_TIMEOUT,
            resolver: OnceCell::const_new(),
        }
    }

    /// With another limit than five seconds for one name.
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    async fn resolver(&self) -> Result<&TokioResolver, NetError> {
        self.resolver
            .get_or_try_init(|| async {
                let mut builder = if self.name_servers.is_empty() {
                    TokioResolver::builder_tokio()?
                } else {
                    TokioResolver::builder_with_config(
                        config_of(&self.name_servers),
                        TokioRuntimeProvider::default(),
                    )
                };
                let options = builder.options_mut();
                options.use_hosts_file = ResolveHosts::Never;
                options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
                options.timeout = SERVER_TIMEOUT;
                options.attempts = 2;
                options.try_tcp_on_error = true;
                options.cache_size = CACHED_ANSWERS;
                options.positive_max_ttl = Some(CACHED_AT_MOST);
                options.negative_max_ttl = Some(CACHED_MISSING_AT_MOST);
                builder.build()
            })
            .await
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let mut name = Name::from_ascii(name).map_err(|_| ResolveError::NotFound)?;
        // Without this, the search list of resolv.conf is tried.
        name.set_fqdn(true);
        let resolver = self.resolver().await.map_err(|error| classify(&error))?;
        let answer = resolver
            .lookup_ip(name)
            .await
            .map_err(|error| classify(&error))?;
        let addresses: Vec<IpAddr> = answer.iter().collect();
        if addresses.is_empty() {
            Err(ResolveError::NotFound)
        } else {
            Ok(addresses)
        }
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        timeout(self.limit, self.look_up(name))
            .await
            .unwrap_or(Err(ResolveError::TimedOut))
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemResolver")
    }
}

fn config_of(name_servers: &[SocketAddr]) -> ResolverConfig {
    let mut config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    for server in name_servers {
        let mut named = NameServerConfig::udp_and_tcp(server.ip());
        for connection in &mut named.connections {
            connection.port = server.port();
        }
        config.add_name_server(named);
    }
    config
}

fn classify(error: &NetError) -> ResolveError {
    match error {
        NetError::Timeout => ResolveError::TimedOut,
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(
                none.response_code,
                ResponseCode::NXDomain | ResponseCode::NoError
            ) =>
        {
            ResolveError::NotFound
        }
        _ => ResolveError::Failed,
    }
}
