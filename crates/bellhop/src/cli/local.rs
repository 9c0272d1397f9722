//! Posting to where somebody develops, on this machine: what `listen` and `trigger --forward-to` do.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use url::{Host, Url};

use super::{Code, Failure};

/// The longest that a local answer is waited for.
const WITHIN: Duration = Duration::from_secs(30);
/// So much of an answer is read, and no more.
const MOST_BYTES: usize = 64 * 1024;

/// Where to: a URL or a port of this machine.
#[derive(Debug, Clone)]
pub struct Target(Url);

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = match text.parse::<u16>() {
            Ok(port) => format!("http://127.0.0.1:{port}/"),
            Err(_) if text.contains("://") => text.to_owned(),
            Err(_) => format!("http://{text}"),
        };
        let url = Url::parse(&url).map_err(|error| error.to_string())?;
        let is_here = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_private(),
            Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unique_local(),
            Some(Host::Domain(name)) => {
                !name.contains('.')
                    || ["local", "localhost"].contains(&name.rsplit('.').next().unwrap_or_default())
            }
            None => false,
        };
        if url.scheme() != "http" || !is_here {
            return Err("it carries access tokens, so it goes to this machine or its network alone, over http: a port, or \
                        http://127.0.0.1:3000/hooks; for anything else make a webhook"
                .into());
        }
        Ok(Self(url))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// How long it took.
    pub took: Duration,
}

/// Posts to one target.
#[derive(Debug)]
pub struct Local {
    target: Target,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

impl Local {
    /// To this target.
    pub fn new(target: Target) -> Self {
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        Self { target, http }
    }

    /// Posts these headers and this body, byte for byte.
    pub async fn post(&self, headers: &Value, body: &str) -> Result<Answered, Failure> {
        let mut request = Request::post(self.target.0.as_str());
        for (name, value) in headers.as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().unwrap_or_default());
        }
        let body = Full::new(Bytes::from(body.to_owned()));
        let request = request
            .body(body)
            .map_err(|error| Failure::new(Code::Other, error))?;
        let began = Instant::now();
        let asked = async {
            let answer = self.http.request(request).await.map_err(|_| ())?;
            let status = answer.status();
            // To its end, so that the connection can be used again; what it says is not ours to keep.
            let _ = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
            Ok::<_, ()>(status)
        };
        let took = || began.elapsed();
        match tokio::time::timeout(WITHIN, asked).await {
            Ok(Ok(status)) => Ok(Answered {
                status,
                took: took(),
            }),
            Ok(Err(())) => {
                let cause = format!("nobody answers at {}", self.target);
                Err(Failure::new(Code::Unreachable, cause)
                    .hint("is your server started, and is that its port?"))
            }
            Err(_) => {
                let cause = format!(
                    "{} has not answered within {} s",
                    self.target,
                    WITHIN.as_secs()
                );
                Err(Failure::new(Code::TimedOut, cause))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_access_tokens_goes_to_this_machine() {
        for (text, url) in [
            ("3000", "http://127.0.0.1:3000/"),
            ("localhost:3000/hooks", "http://localhost:3000/hooks"),
            ("http://app:8080/in?a=b", "http://app:8080/in?a=b"),
            ("http://192.168.1.7:3000", "http://192.168.1.7:3000/"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), url);
        }
        for text in [
            "https://hooks.example.com",
            "http://8.8.8.8",
            "example.com:80",
            "",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
