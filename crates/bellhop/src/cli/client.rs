//! Calls of a Bellhop server's API, and what its refusals mean for a command.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Code, Failure};
use crate::domain::secret_text::SecretText;

/// Larger answers are not read: a page of the API is far below.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Calls one server with one key.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    key: SecretText,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// Calls the server at this URL, without a path, with this key.
    pub fn new(base: impl Into<String>, key: SecretText) -> Self {
        Self {
            base: base.into(),
            key,
            http: HttpClient::builder(TokioExecutor::new()).build_http(),
        }
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
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", self.key.expose()),
            );
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|error| Failure::new(Code::Usage, format_args!("{}: {error}", self.base)))?;
        let answer = self.http.request(request).await.map_err(|error| {
            let base = &self.base;
            Failure::new(
                Code::Unreachable,
                format_args!("no server answers at {base}: {error}"),
            )
            .hint("bellhop serve starts one")
        })?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| {
                Failure::new(Code::Other, format_args!("the answer broke off: {error}"))
            })?
            .to_bytes();
        if !status.is_success() {
            return Err(refused(status, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(
                Code::Other,
                format_args!("the answer is not as expected: {error}"),
            )
            .hint("is the server of the same version? bellhop --version")
        })
    }
}

/// What a problem document (RFC 9457) means for a command.
fn refused(status: StatusCode, body: &[u8]) -> Failure {
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
        let member = error["pointer"].as_str().unwrap_or_default();
        let detail = error["detail"].as_str().unwrap_or_default();
        details.push(format!("{member} {detail}").trim().to_owned());
    }
    details.extend(text("request_id").map(|id| format!("request {id}")));
    let failure = Failure::new(code, format_args!("{cause} ({})", details.join(", ")));
    match code {
        Code::NotAllowed => failure
            .hint("the operator's key is in the file operator-key in the server's data directory"),
        _ => failure,
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
            let failure = refused(StatusCode::from_u16(status).unwrap(), problem);
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
        let text = format!("{:?}", refused(StatusCode::BAD_GATEWAY, b"<html>"));
        assert!(text.contains("502"), "{text}");
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        // Port 1 of loopback: nobody listens.
        let client = Client::new("http://127.0.0.1:1", SecretText::new("key"));
        let failure = client.get::<Value>("/v1/keys").await.unwrap_err();
        assert!(format!("{failure:?}").contains("Unreachable"));
        assert!(!format!("{client:?}").contains("\"key\""));
    }
}
