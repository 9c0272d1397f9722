//! Calls of a Bellhop server's API, and what its refusals mean for a command.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Code, Failure};
use crate::domain::secret_text::SecretText;

/// Larger answers are not read: a page of the API is far below.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// The longest that an answer is waited for: the server lets nobody wait for more than a minute.
const ANSWER_WITHIN: Duration = Duration::from_secs(75);

/// Calls one server with one key.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    key: SecretText,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// One request.
#[derive(Debug)]
pub struct Asking<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    body: Option<Value>,
    headers: Vec<(&'static str, String)>,
}

/// What was answered, and not refused.
#[derive(Debug)]
pub struct Answered {
    /// 2xx.
    pub status: StatusCode,
    /// The document as it came; empty if there is none.
    pub text: String,
    /// What it says; null if there is none.
    pub document: Value,
}

impl Client {
    /// Calls the server at this URL, without a path, with this key. Over https it trusts whom this machine trusts.
    pub fn new(base: impl Into<String>, key: SecretText) -> Result<Self, Failure> {
        let base = base.into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::new(Code::Other, error))?
            .with_root_certificates(roots(&base)?)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            base,
            key,
            http: HttpClient::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// Where the server is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// Makes or commands something.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Any call with a JSON answer.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let mut asking = self.ask(method, path);
        asking.body = body.cloned();
        let text = asking.send().await?.text;
        serde_json::from_str(&text).map_err(|error| unexpected(&error))
    }

    /// A request in the making.
    pub fn ask(&self, method: Method, path: impl Into<String>) -> Asking<'_> {
        Asking {
            client: self,
            method,
            path: path.into(),
            body: None,
            headers: Vec::new(),
        }
    }
}

impl Asking<'_> {
    /// With this document.
    pub fn json(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With this header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Asks, and reads the whole answer.
    pub async fn send(self) -> Result<Answered, Failure> {
        let base = self.client.base.clone();
        within(&base, async {
            let answer = self.answer().await?;
            let status = answer.status();
            let bytes = read(answer).await?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let document = match text.as_str() {
                "" => Value::Null,
                text => serde_json::from_str(text).map_err(|error| unexpected(&error))?,
            };
            Ok(Answered {
                status,
                text,
                document,
            })
        })
        .await
    }

    /// Asks, and leaves the body to be read as it comes.
    pub async fn open(self) -> Result<Response<Incoming>, Failure> {
        let base = self.client.base.clone();
        within(&base, self.answer()).await
    }

    /// An answer that is no refusal.
    async fn answer(self) -> Result<Response<Incoming>, Failure> {
        let Client { base, key, http } = self.client;
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("{base}{}", self.path))
            .header(header::AUTHORIZATION, format!("Bearer {}", key.expose()));
        if self.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let bytes = self.body.map(|body| body.to_string()).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|error| Failure::new(Code::Usage, format_args!("{base}: {error}")))?;
        let answer = http.request(request).await.map_err(|error| {
            let cause = chain(&error);
            Failure::new(
                Code::Unreachable,
                format_args!("no server answers at {base}: {cause}"),
            )
            .hint("bellhop serve starts one; --server URL or BELLHOP_SERVER names another")
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        Err(refused(status, &self.path, &read(answer).await?))
    }
}

/// Whom to trust. Reading what this machine trusts takes its time, and is of use over https alone.
fn roots(base: &str) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    if base.starts_with("https://") {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let cause = "this machine has no trusted certificate authorities";
            return Err(Failure::new(Code::Other, cause).hint("apt-get install ca-certificates"));
        }
    }
    Ok(roots)
}

async fn within<T>(
    base: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let done = tokio::time::timeout(ANSWER_WITHIN, work).await;
    done.unwrap_or_else(|_| {
        let seconds = ANSWER_WITHIN.as_secs();
        let cause = format!("{base} has not answered within {seconds} s");
        Err(Failure::new(Code::TimedOut, cause).hint("bellhop doctor says how it is"))
    })
}

async fn read(answer: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES);
    let collected = body.collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| Failure::new(Code::Other, format_args!("the answer broke off: {error}")))
}

/// The server answered something else than this version knows.
pub fn unexpected(error: &serde_json::Error) -> Failure {
    Failure::new(
        Code::Other,
        format_args!("the answer is not as expected: {error}"),
    )
    .hint("is the server of the same version? bellhop doctor")
}

/// An error with all its causes: the outermost one says little. What repeats the one before is left out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// What a problem document (RFC 9457) means for a command.
fn refused(status: StatusCode, path: &str, body: &[u8]) -> Failure {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |member: &str| problem[member].as_str().map(str::to_owned);
    let code = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Code::NotAllowed,
        StatusCode::NOT_FOUND | StatusCode::GONE => Code::NotFound,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Code::TimedOut,
        status if status.is_client_error() => Code::Refused,
        _ => Code::Other,
    };
    let cause = text("detail")
        .or_else(|| text("title"))
        .unwrap_or_else(|| format!("the server answered {status}"));
    let mut details = vec![status.as_u16().to_string()];
    details.extend(text("code"));
    for error in problem["errors"].as_array().into_iter().flatten() {
        let member = ["pointer", "parameter"]
            .into_iter()
            .find_map(|place| error[place].as_str())
            .unwrap_or_default();
        let detail = error["detail"].as_str().unwrap_or_default();
        // Of one fault alone, the cause says all.
        if detail.is_empty() || !cause.contains(detail) {
            details.push(format!("{member} {detail}").trim().to_owned());
        }
    }
    details.extend(text("request_id").map(|id| format!("request {id}")));
    let failure = Failure::new(code, format_args!("{cause} ({})", details.join(", ")));
    match hint(code, status, path, &problem) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The next thing to do, as exactly as the path tells it.
fn hint(code: Code, status: StatusCode, path: &str, problem: &Value) -> Option<String> {
    let mut parts = path.split(['/', '?']).skip(2);
    let noun = match parts.next()? {
        "enterprises" => "enterprise",
        "applications" => "application",
        "webhooks" => "webhook",
        "integrations" => "integration",
        "deliveries" => "delivery",
        "replays" => "replay",
        "keys" => "api-key",
        _ => "",
    };
    let allowed = problem["AllowedCommands"].as_array();
    if let (Some(allowed), Some(id)) = (allowed, parts.next()) {
        let commands: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        let commands = commands.join("|");
        return (!commands.is_empty()).then(|| format!("bellhop {noun} {commands} {id}"));
    }
    match code {
        Code::NotAllowed => Some(
            "the operator's key is in the file operator-key in the server's data directory; name the file of another key \
             in BELLHOP_API_KEY_FILE"
                .to_owned(),
        ),
        Code::NotFound if !noun.is_empty() => Some(format!("bellhop {noun} list")),
        _ if status == StatusCode::SERVICE_UNAVAILABLE => Some("bellhop doctor".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_codes_and_say_what_the_server_said() {
        let problem = br#"{"title":"Refused","detail":"It is deleted.","code":"wrong_state","errors":[{"pointer":"/Name","detail":"is too long"}],"request_id":"req_1"}"#;
        for (status, code) in [
            (401, Code::NotAllowed),
            (404, Code::NotFound),
            (409, Code::Refused),
            (422, Code::Refused),
            (503, Code::Other),
        ] {
            let failure = refused(StatusCode::from_u16(status).unwrap(), "/v1/keys/1", problem);
            let text = format!("{failure:?}");
            assert!(text.contains(&format!("{code:?}")), "{text}");
            for part in [
                "It is deleted.",
                "wrong_state",
                "/Name is too long",
                "request req_1",
            ] {
                assert!(text.contains(part), "{text}");
            }
        }
        let text = format!("{:?}", refused(StatusCode::BAD_GATEWAY, "/v1", b"<html>"));
        assert!(text.contains("502"), "{text}");
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        // Port 1 of loopback: nobody listens.
        let client = Client::new("http://127.0.0.1:1", SecretText::new("key")).unwrap();
        let failure = client.get::<Value>("/v1/keys").await.unwrap_err();
        assert!(format!("{failure:?}").contains("Unreachable"));
        assert!(!format!("{client:?}").contains("\"key\""));
    }
}
