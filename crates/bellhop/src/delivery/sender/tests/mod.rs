//! The sender against receivers on loopback.

mod exchanges;
mod harm;
mod redirects;
mod transport;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderMap;

use super::{Exchange, PostRequest, Sender, SenderOptions};
use crate::{
    delivery::egress::{EgressPolicy, TargetUrl},
    domain::cause::Cause,
};
use zoo::Receiver;

/// Long enough for what answers, on a busy machine too.
const PATIENT: Duration = Duration::from_secs(10);
/// For what never answers.
const SHORT: Duration = Duration::from_millis(300);

fn policy() -> Arc<EgressPolicy> {
    Arc::new(EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]))
}

fn sender() -> Sender {
    Sender::new(SenderOptions::new(policy()))
}

fn target(url: &str) -> TargetUrl {
    policy().judge_url(url).unwrap()
}

fn request(target: &TargetUrl, timeout: Duration) -> PostRequest<'_> {
    let headers = HeaderMap::from_iter([(
        http::header::CONTENT_TYPE,
        "application/json".parse().unwrap(),
    )]);
    PostRequest {
        timeout,
        ..PostRequest::new(target, headers, Bytes::from_static(b"{\"Action\":1}"))
    }
}

async fn post(receiver: &Receiver, timeout: Duration) -> Exchange {
    sender()
        .post(request(&target(&receiver.url("/hook")), timeout))
        .await
}

fn failed(exchange: &Exchange) -> Cause {
    exchange
        .cause()
        .unwrap_or_else(|| panic!("it succeeded: {exchange:?}"))
}

fn ok() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()
}
