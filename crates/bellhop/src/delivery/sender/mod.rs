//! One POST to one receiver, and everything that can come of it. Decides nothing about retries.
//!
//! HTTP/1.1 with a keep-alive pool; one deadline over the whole exchange; a bounded response; no
//! redirects but those of `FollowRedirects`, no decompression, no proxies. Every failure has a [`Cause`](crate::domain::cause::Cause).

mod answer;
mod classify;
mod conclude;
mod exchange;
mod failure;
mod payload;
mod post;
mod redirect;
mod retry_after;
mod scrub;

#[cfg(test)]
mod tests;

pub use classify::{Verdict, classify};
pub use exchange::{Exchange, KeptHeaders, Response, SendFailure, Timings};
pub use post::{PostRequest, Sender, SenderOptions};
pub use retry_after::{RetryAfter, parse_retry_after};
pub use scrub::scrub;
