//! The built-in receiver is no hole: one URL leads to it, and that URL leads to nothing else.

use std::{io, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use http::Uri;
use tower::{Service as _, ServiceExt as _};

use crate::{
    delivery::egress::{
        Connector, Dial, EgressPolicy, INSIDE_HOST, Inside, Resolve, ResolveError, Roots, Wire,
    },
    domain::cause::Cause,
};

/// Refuses each connection, and so shows that it was asked.
#[derive(Debug)]
struct Asked;

impl Inside for Asked {
    fn connect(&self) -> io::Result<Box<dyn Wire>> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

/// No network: whoever asks for it has made a hole.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Dial for Nowhere {
    async fn dial(&self, to: SocketAddr) -> io::Result<Box<dyn Wire>> {
        panic!("a socket to {to}");
    }
}

#[async_trait]
impl Resolve for Nowhere {
    async fn resolve(&self, name: &str) -> Result<Vec<std::net::IpAddr>, ResolveError> {
        panic!("a name server was asked for {name}");
    }
}

fn playing() -> EgressPolicy {
    EgressPolicy {
        inside: Some(Arc::new(Asked)),
        ..EgressPolicy::default()
    }
}

#[test]
fn one_form_of_its_url_is_accepted() {
    let policy = playing();
    let id = "0123456789abcdef0123456789abcdef";
    let url = format!("http://{INSIDE_HOST}/{id}");
    assert_eq!(policy.judge_url(&url).unwrap().as_str(), url);
    for other in [
        format!("https://{INSIDE_HOST}/{id}"),
        format!("http://{INSIDE_HOST}:80/{id}"),
        format!("http://{INSIDE_HOST}:8080/{id}"),
        format!("http://{INSIDE_HOST}:22/{id}"),
        format!("http://a@{INSIDE_HOST}/{id}"),
        format!("http://x.{INSIDE_HOST}/{id}"),
        format!("http://{INSIDE_HOST}.evil.internal/{id}"),
        format!("http://{INSIDE_HOST}.example.com/{id}"),
        format!("http://play.bellhop.internal\\@127.0.0.1/{id}"),
        format!("http://127.0.0.1/{id}"),
        format!("http://localhost/{id}"),
        format!("http://bellhop.internal/{id}"),
    ] {
        assert!(policy.judge_url(&other).is_err(), "{other}");
    }
    assert_eq!(
        policy
            .judge_url(&format!("https://{INSIDE_HOST}/"))
            .unwrap_err()
            .code(),
        "url_inside"
    );
}

#[test]
fn without_it_the_name_is_as_any_other() {
    let policy = EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]);
    for scheme in ["http", "https"] {
        let refused = policy.judge_url(&format!("{scheme}://{INSIDE_HOST}/x"));
        assert_eq!(refused.unwrap_err().code(), "url_private_name");
    }
}

#[tokio::test]
async fn no_name_is_looked_up_and_no_socket_is_opened() {
    let connector = |policy| {
        let policy = Arc::new(policy);
        Connector::over(Arc::new(Nowhere), policy, Arc::new(Nowhere), Roots::System)
    };
    let mut inside = connector(playing());
    for (uri, cause) in [
        (format!("http://{INSIDE_HOST}/x"), Cause::ConnectRefused),
        (format!("https://{INSIDE_HOST}/x"), Cause::UrlRefused),
    ] {
        let uri: Uri = uri.parse().unwrap();
        let error = inside.ready().await.unwrap().call(uri).await.unwrap_err();
        assert_eq!(error.cause, cause, "{error}");
    }
    // What it allows is not wider for being there.
    let uri: Uri = "http://127.0.0.1:9/x".parse().unwrap();
    let error = inside.ready().await.unwrap().call(uri).await.unwrap_err();
    assert_eq!(error.cause, Cause::UrlRefused);
}
