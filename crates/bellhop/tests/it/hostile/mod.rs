//! Hostile URLs, name servers and receivers, against the whole.

mod headers;
mod names;
mod redirects;
mod retry_after;
mod urls;
mod visit;
