//! The server, as its clients see it.

use http::Method;
use jiff::Timestamp;

use super::{check::Check, here};
use crate::{
    cli::{Code, banner::urls, client::Client, remote::RemoteArgs},
    config::{Config, Sources},
    domain::secret_text::SecretText,
};

/// The server that is named, if one is.
pub fn named(flag: Option<&str>) -> Option<String> {
    let environment = || {
        Sources::of_process(vec![], None)
            .environment
            .remove("BELLHOP_SERVER")
    };
    flag.map(str::to_owned).or_else(environment)
}

/// Whether it answers, is ready, is of this version, keeps time, and takes the key.
pub async fn all(server: Option<&str>, config: &Config) -> Vec<Check> {
    let data_dir = config.data_dir.display().to_string();
    let here = urls(config.listen).swap_remove(0);
    let base = server.map_or(here, |named| named.trim_end_matches('/').to_owned());
    let remote = RemoteArgs::of(Some(base.clone()), Some(data_dir));
    let nobody = match Client::new(&*base, SecretText::new("none")) {
        Ok(client) => client,
        Err(failure) => {
            return vec![Check::failed(
                "server",
                failure,
                "apt-get install ca-certificates",
            )];
        }
    };
    let asked = nobody.ask(Method::GET, "/readyz").open().await;
    let answer = match asked {
        Ok(answer) => answer,
        Err(failure) if failure.has(Code::Unreachable) && server.is_none() => {
            return vec![Check::skipped(
                "server",
                format_args!("none runs at {base}: bellhop serve starts it"),
            )];
        }
        Err(failure) if failure.has(Code::Unreachable) => {
            let next = "is it running, and does a proxy or a firewall let this machine through?";
            return vec![Check::failed("server", failure, next)];
        }
        Err(failure) => {
            let next = "its log says why it is not ready";
            return vec![Check::failed(
                "server",
                format_args!("{base} answers, and is not ready: {failure}"),
                next,
            )];
        }
    };
    let mut checks = vec![Check::ok(
        "server",
        format_args!("{base} answers and is ready"),
    )];
    let date = answer
        .headers()
        .get(http::header::DATE)
        .and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
    if let Some(date) = date.and_then(|date| Timestamp::try_from(date).ok()) {
        checks.push(here::clock(date));
    }
    checks.push(version(&nobody).await);
    checks.push(key(&remote).await);
    checks
}

async fn version(client: &Client) -> Check {
    let (name, own) = ("server version", env!("CARGO_PKG_VERSION"));
    match client.get::<serde_json::Value>("/openapi.json").await {
        Ok(document) => match document["info"]["version"].as_str() {
            Some(theirs) if theirs == own => {
                Check::ok(name, format_args!("{theirs}, as this command"))
            }
            Some(theirs) => Check::warning(
                name,
                format_args!("the server is {theirs}, this command {own}"),
                "use the command of the server's version",
            ),
            None => Check::failed(
                name,
                "what answers there is not Bellhop",
                "--server names another",
            ),
        },
        Err(failure) => Check::failed(name, failure, "is that Bellhop? --server names another"),
    }
}

async fn key(remote: &RemoteArgs) -> Check {
    let name = "api key";
    let client = match remote.client() {
        Ok(client) => client,
        Err(failure) => return Check::skipped(name, failure),
    };
    match client
        .get::<serde_json::Value>("/v1/applications?Limit=1")
        .await
    {
        Ok(_) => Check::ok(name, "the server takes it"),
        Err(failure) if failure.to_string().contains("(403") => {
            Check::ok(name, "the server takes it, for introspection alone")
        }
        Err(failure) => Check::failed(
            name,
            failure,
            "BELLHOP_API_KEY_FILE names the file of a key; bellhop api-key create makes one",
        ),
    }
}
