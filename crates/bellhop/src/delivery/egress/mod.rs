//! The egress guard: a webhook's URL is other people's input, and Bellhop sits inside somebody's network.
//!
//! Three layers, each of which refuses by itself:
//! 1. [`EgressPolicy::judge_url`] parses the URL once and judges its form, its host and its port, without DNS.
//!    What it returns, [`TargetUrl`], is the only form used afterwards: for policy, `Host`, SNI and connection.
//! 2. [`judge_addr`] says which addresses are public, by default deny.
//! 3. [`Connector`] resolves a name at every connection, refuses it if any one of its addresses is refused,
//!    connects to the judged addresses only, and looks at the connection's other end again.
//!
//! One name is none of the network's: [`INSIDE_HOST`] is the built-in receiver, if there is one. It is not looked up and
//! leads to no socket, so that nothing else can ever be behind it.
//!
//! No proxies from the environment, no redirects of the HTTP library's, no hosts file, no search list.

mod address;
mod connect;
mod dial;
mod flight;
mod identity;
mod judge_url;
mod names;
mod network;
mod policy;
mod refused;
mod resolve;
mod stream;
mod target;
mod tls;

#[cfg(test)]
mod tests;

pub use address::{AddressKind, AddressRefused, canonical, judge_addr};
pub use connect::{ConnectError, Connector};
pub use dial::{Dial, INSIDE_HOST, Inside, Tcp, Wire};
pub(in crate::delivery) use flight::{FLIGHT, Flight, Phase, micros};
pub use identity::{ClientIdentity, IdentityError};
pub use network::{Network, NetworkError};
pub use policy::{EgressPolicy, PortRange, PortRangeError};
pub use refused::UrlRefused;
pub use resolve::{Resolve, ResolveError, SystemResolver};
pub(in crate::delivery) use stream::{ConnectionFacts, WireLimitExceeded};
pub use target::{TargetHost, TargetUrl};
#[cfg(test)]
pub(in crate::delivery) use tests::scripted::ScriptedResolver;
pub use tls::Roots;
pub(in crate::delivery) use tls::{cause_of, tls_cause};
