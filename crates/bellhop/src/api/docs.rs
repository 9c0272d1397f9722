//! Pages for people: the API in short, and one page for each kind of problem. Nothing is loaded from elsewhere.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::{ApiError, Reply, code::Code, openapi, state::ApiState};

const HTML: &str = "text/html; charset=utf-8";
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const STYLE: &str = include_str!("docs.css");

/// The API, operation by operation.
pub async fn page(_: ApiState, _: Option<String>) -> Result<Reply, ApiError> {
    let mut body = String::from(
        "<p>JSON over HTTP; every request carries <code>Authorization: Bearer bhk_…</code>. \
         The document for programs is <a href=\"/openapi.json\">/openapi.json</a> (OpenAPI 3.1).</p>",
    );
    let document = openapi::value();
    let mut last_tag = String::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let tag = text(&operation["tags"][0]);
            if tag != last_tag {
                let _ = write!(body, "<h2>{}</h2>", escape(&tag));
                last_tag = tag;
            }
            let _ = write!(
                body,
                "<section><h3><code>{} {}</code></h3><p>{}</p><p class=\"scopes\">{}</p></section>",
                method.to_uppercase(),
                escape(path),
                escape(&text(&operation["summary"])),
                escape(&scopes(operation)),
            );
        }
    }
    body.push_str("<h2>Problems</h2><ul>");
    for code in Code::ALL {
        let _ = write!(
            body,
            "<li><a href=\"/problems/{}\">{}</a> ({}): {}</li>",
            code.as_str(),
            code.as_str(),
            code.status().as_u16(),
            escape(code.title()),
        );
    }
    body.push_str("</ul>");
    Ok(html("Bellhop's API", &body))
}

/// How the pages look.
pub async fn style(_: ApiState, _: Option<String>) -> Result<Reply, ApiError> {
    let css = Bytes::from_static(STYLE.as_bytes());
    Ok(Reply::of(StatusCode::OK, "text/css; charset=utf-8", css))
}

/// What a problem means, and what to do about it.
pub async fn problem(_: ApiState, code: Option<String>) -> Result<Reply, ApiError> {
    let wanted = code.unwrap_or_default();
    let code = Code::ALL
        .iter()
        .find(|code| code.as_str() == wanted)
        .ok_or_else(|| {
            ApiError::new(
                Code::NotFound,
                "There is no such kind of problem: see /docs.",
            )
        })?;
    let body = format!(
        "<p>{}</p><dl><dt>Code</dt><dd><code>{}</code></dd><dt>Status</dt><dd>{}</dd></dl>\
         <p><a href=\"/docs\">All operations and problems</a></p>",
        escape(code.page()),
        code.as_str(),
        code.status(),
    );
    Ok(html(code.title(), &body))
}

fn html(title: &str, body: &str) -> Reply {
    let title = escape(title);
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><link rel=\"stylesheet\" href=\"/docs/style.css\"></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    Reply::of(StatusCode::OK, HTML, Bytes::from(page))
        .with_header(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        )
        .with_header(
            HeaderName::from_static("referrer-policy"),
            HeaderValue::from_static("no-referrer"),
        )
}

fn scopes(operation: &Value) -> String {
    let scopes: Vec<_> = operation["x-scopes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    if scopes.is_empty() {
        "No key needed".into()
    } else {
        format!("Scope: {}", scopes.join(", "))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
