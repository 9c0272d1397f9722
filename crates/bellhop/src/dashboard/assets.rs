//! Style sheet, scripts and icon: in the binary, each under a path with its hash, to be kept for ever.

use std::{borrow::Cow, fmt::Write as _, sync::OnceLock};

use axum::{
    body::Body,
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::answer::guarded;

/// The files. A debug build reads them anew each time, so that a change is seen at once.
#[derive(RustEmbed)]
#[folder = "src/dashboard/assets/"]
struct Files;

/// Digits of a hash in a path.
const SHOWN_DIGITS: usize = 12;
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The path of a file.
pub fn path(name: &str) -> Cow<'static, str> {
    static HASHES: OnceLock<Vec<(String, String)>> = OnceLock::new();
    let hashes = HASHES.get_or_init(|| Files::iter().map(|name| hashed(&name)).collect());
    let found = hashes.iter().find(|(known, _)| known == name);
    match found {
        Some((_, hash)) => format!("/dashboard/assets/{hash}/{name}").into(),
        None => format!("/dashboard/assets/none/{name}").into(),
    }
}

/// Answers with a file.
pub async fn serve(Path((_, name)): Path<(String, String)>) -> Response {
    let Some(file) = Files::get(&name).filter(|_| is_served(&name)) else {
        return guarded((StatusCode::NOT_FOUND, "There is no such file.").into_response());
    };
    let kind = HeaderValue::from_static(kind(&name));
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, FOR_EVER),
    ];
    guarded((StatusCode::OK, headers, Body::from(file.data)).into_response())
}

fn hashed(name: &str) -> (String, String) {
    let hash = Files::get(name).map_or_else(String::new, |file| shown(&file));
    (name.to_owned(), hash)
}

fn shown(file: &EmbeddedFile) -> String {
    let mut text = String::new();
    for byte in file.metadata.sha256_hash().iter().take(SHOWN_DIGITS / 2) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Whether it is for browsers: notes and licences are for readers of the source.
fn is_served(name: &str) -> bool {
    [".css", ".js", ".svg"]
        .iter()
        .any(|end| name.ends_with(end))
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_others_are_those_of_the_table() {
        let table = include_str!("assets/vendor/README.md");
        for name in ["htmx.min.js", "htmx-sse.min.js"] {
            let file = Files::get(&format!("vendor/{name}")).unwrap();
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &file.data);
            let mut hex = String::new();
            for byte in hash.as_ref() {
                let _ = write!(hex, "{byte:02x}");
            }
            let row = table
                .lines()
                .find(|line| line.contains(&format!("`{name}`")))
                .unwrap();
            assert!(row.contains(&hex), "{name} is {hex}");
        }
    }
}
