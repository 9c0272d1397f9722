//! Light or dark: kept in a cookie, so that the first paint is right.

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, header};

use crate::dashboard::{
    answer::see_other,
    form::Form,
    session::{Theme, check_origin, keeping},
};

/// Sets it, and goes back to where it was asked.
pub async fn set(headers: HeaderMap, body: Bytes) -> Response {
    let form = Form::read(&body);
    // Only to our own pages.
    let back = form
        .text("Back")
        .filter(|back| back.starts_with("/dashboard"));
    let mut response = see_other(back.unwrap_or("/dashboard"));
    let theme = match form.text("Theme") {
        Some("light") => Theme::Light,
        Some("dark") => Theme::Dark,
        _ => Theme::System,
    };
    if check_origin(&headers).is_ok() {
        response
            .headers_mut()
            .append(header::SET_COOKIE, keeping(theme));
    }
    response
}
