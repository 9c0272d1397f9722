//! Hostile URLs, addresses and name servers.

mod addresses;
mod connector;
mod inside;
mod name_servers;
pub(in crate::delivery) mod scripted;
mod urls;

use super::{EgressPolicy, Network};

fn allowing(networks: &[&str]) -> EgressPolicy {
    EgressPolicy::allowing(
        networks
            .iter()
            .map(|network| network.parse::<Network>().unwrap()),
    )
}
