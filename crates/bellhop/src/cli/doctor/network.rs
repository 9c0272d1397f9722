//! What a server does on the network: its port, whom it trusts, where it may send to.

use std::{fs, net::TcpListener, sync::Arc};

use tower::Service as _;

use super::check::Check;
use crate::{
    app,
    config::Config,
    delivery::egress::{Connector, EgressPolicy, SystemResolver},
    domain::cause::Cause,
};

/// What can be told without asking anybody.
pub fn all(config: &Config) -> Vec<Check> {
    vec![port(config), roots(config), egress(config), names()]
}

fn port(config: &Config) -> Check {
    let (name, listen) = ("port", config.listen);
    match TcpListener::bind(listen) {
        Ok(_) => Check::ok(name, format_args!("{listen} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Check::ok(
            name,
            format_args!("{listen} is taken: see server, whether by Bellhop"),
        ),
        Err(error) => Check::failed(
            name,
            format_args!("{listen}: {error}"),
            format!(
                "bellhop serve --listen {}:8080, or as a user who may listen there",
                listen.ip()
            ),
        ),
    }
}

fn roots(config: &Config) -> Check {
    let name = "tls roots";
    let found = rustls_native_certs::load_native_certs();
    let count = found.certs.len();
    if let Some(path) = &config.egress.ca_file
        && let Err(error) = fs::read(path)
    {
        let detail = format!("{}: {error} (BELLHOP_EGRESS_CA_FILE)", path.display());
        return Check::failed(name, detail, format!("ls -l {}", path.display()));
    }
    if count == 0 {
        return Check::failed(
            name,
            "this machine trusts no certificate authorities: no https receiver can be verified",
            "apt-get install ca-certificates, or apk add ca-certificates",
        );
    }
    Check::ok(
        name,
        format_args!("{count} certificate authorities are trusted"),
    )
}

fn egress(config: &Config) -> Check {
    let name = "egress";
    let allowed: Vec<String> = config
        .egress
        .allow
        .iter()
        .map(ToString::to_string)
        .collect();
    if allowed.is_empty() {
        return Check::ok(name, "webhooks reach public addresses alone, over https");
    }
    let allowed = allowed.join(", ");
    let is_wide = config
        .egress
        .allow
        .iter()
        .any(|network| network.to_string().ends_with("/0"));
    if is_wide {
        return Check::failed(
            name,
            format_args!(
                "webhooks may reach every address, this network and the cloud's metadata among them: {allowed}"
            ),
            "name the networks that are meant in egress_allow",
        );
    }
    Check::ok(
        name,
        format_args!("webhooks reach public addresses, and {allowed} over http as well"),
    )
}

/// Who is asked for names.
fn names() -> Check {
    let name = "names";
    match hickory_resolver::system_conf::read_system_conf() {
        Ok((config, _)) if config.name_servers().is_empty() => {
            Check::failed(name, "no name server is set up", "cat /etc/resolv.conf")
        }
        Ok((config, _)) => {
            let count = config.name_servers().len();
            Check::ok(name, format_args!("{count} name servers are set up"))
        }
        Err(error) => Check::failed(name, error, "cat /etc/resolv.conf"),
    }
}

/// Whether a webhook's URL can be reached: judged, resolved, connected to, and over https shaken hands with.
pub async fn url(config: &Config, text: &str) -> Check {
    let name = "url";
    let policy = Arc::new(EgressPolicy {
        allow: config.egress.allow.clone(),
        ports: config.egress.ports.clone(),
        own_addresses: vec![config.listen],
        ..EgressPolicy::default()
    });
    let target = match policy.judge_url(text) {
        Ok(target) => target,
        Err(refused) => return Check::failed(name, &refused, Cause::UrlRefused.next_step()),
    };
    let (Ok(uri), Ok(roots)) = (
        target.as_str().parse(),
        app::roots(config.egress.ca_file.as_deref()),
    ) else {
        return Check::skipped(name, "see tls roots");
    };
    let began = std::time::Instant::now();
    let mut connector = Connector::new(policy, Arc::new(SystemResolver::new()), roots);
    match connector.call(uri).await {
        Ok(_) => Check::ok(
            name,
            format_args!(
                "{} is reached in {} ms; nothing was sent",
                target.masked(),
                began.elapsed().as_millis()
            ),
        ),
        Err(error) => {
            let detail = format!(
                "{}: {} ({})",
                target.masked(),
                error.detail,
                error.cause.as_str()
            );
            Check::failed(name, detail, error.cause.next_step())
        }
    }
}
