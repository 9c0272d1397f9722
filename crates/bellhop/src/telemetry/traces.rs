//! Traces for an OpenTelemetry collector. A span is made when what it is about has ended, from what is known of it
//! then: while it lasts nothing is kept for it, and whoever has no collector pays nothing.
//!
//! What is put into a span is listed here, and nothing else is in one: no body, no header but the ids of
//! `traceparent`, no path or query of a URL, no text that anybody wrote.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use opentelemetry::{
    Context, InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    propagation::TextMapPropagator as _,
    trace::{Event, SpanContext, SpanKind, Status, TraceContextExt as _, TraceState},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SamplingDecision, ShouldSample, SpanData,
        SpanEvents, SpanLinks, SpanProcessor as _,
    },
};

use crate::{
    config,
    domain::delivery::{Attempt, Timings},
    id::{DeliveryId, IntegrationId, WebhookId},
    random::{SharedRandom, bytes},
};

use super::Metrics;

mod export;

use export::Exporting;
pub use export::TracesError;

/// Who we are if nobody says otherwise, and what made the spans.
const NAME: &str = "bellhop";
/// What the SDK calls a program that did not say who it is.
const NAMELESS: &str = "unknown_service";
const METHOD: &str = "http.request.method";
const STATUS: &str = "http.response.status_code";
const ERROR: &str = "error.type";
/// The method of every delivery.
const POST: &str = "POST";

/// Makes spans and hands them over to be sent.
#[derive(Debug)]
pub struct Traces {
    processor: BatchSpanProcessor,
    exporting: Exporting,
    sampler: Box<dyn ShouldSample>,
    scope: InstrumentationScope,
    random: SharedRandom,
}

/// A request to the API that is being answered.
#[derive(Debug)]
pub struct Asked {
    began: Timestamp,
    /// The caller's span, if the caller told it.
    parent: SpanContext,
}

/// How a request to the API was answered.
#[derive(Debug, Clone, Copy)]
pub struct AnsweredRequest {
    /// As the table of routes writes it; `None` if there is no such route.
    pub route: Option<&'static str>,
    /// A method of HTTP, or `_OTHER`.
    pub method: &'static str,
    /// The status.
    pub status: u16,
    /// The code of the problem, if the fault is ours.
    pub fault: Option<&'static str>,
    /// How long it took.
    pub took: Duration,
}

/// An attempt of a delivery, and what it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryAttempt<'a> {
    /// Of which delivery.
    pub delivery: DeliveryId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// Of which integration.
    pub integration: IntegrationId,
    /// Name and port of the receiver; `None` if the webhook's URL is refused.
    pub receiver: Option<(Host<'a>, u16)>,
    /// What was sent and what came back.
    pub attempt: &'a Attempt,
}

/// The host of a URL.
#[derive(Debug, Clone, Copy)]
pub enum Host<'a> {
    /// A name.
    Name(&'a str),
    /// An address.
    Ip(IpAddr),
}

impl Traces {
    /// To this collector. Connects to nothing yet; must be called where tokio runs.
    pub fn new(
        to: &config::Traces,
        metrics: &Metrics,
        random: SharedRandom,
    ) -> Result<Self, TracesError> {
        let exporting = Exporting::new(to.queue, metrics.traces_dropped.clone());
        let exporter = export::exporter(to, &exporting)?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(to.queue);
        let mut processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches.build())
            .build();
        opentelemetry_sdk::trace::SpanProcessor::set_resource(&mut processor, &resource());
        Ok(Self {
            processor,
            exporting,
            // The one that OTEL_TRACES_SAMPLER names.
            sampler: opentelemetry_sdk::trace::Config::default().sampler,
            scope: InstrumentationScope::builder(NAME)
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            random,
        })
    }

    /// A request to the API begins.
    pub fn asked(&self, headers: &http::HeaderMap, at: Timestamp) -> Asked {
        let context = TraceContextPropagator::new()
            .extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let parent = context.span().span_context().clone();
        Asked { began: at, parent }
    }

    /// It was answered.
    pub fn answered(&self, asked: &Asked, answer: &AnsweredRequest) {
        let parent = &asked.parent;
        let trace = if parent.is_valid() {
            parent.trace_id()
        } else {
            self.new_trace_id()
        };
        let ids = (trace, self.new_span_id());
        let name = match answer.route {
            Some(route) => format!("{} {route}", answer.method),
            None => answer.method.to_owned(),
        };
        let times = (asked.began, answer.took);
        let Some(mut span) = self.span(ids, parent, SpanKind::Server, name, times) else {
            return;
        };
        let attributes = &mut span.attributes;
        attributes.push(KeyValue::new(METHOD, answer.method));
        attributes.push(KeyValue::new(STATUS, i64::from(answer.status)));
        attributes.extend(answer.route.map(|route| KeyValue::new("http.route", route)));
        if let Some(fault) = answer.fault {
            attributes.push(KeyValue::new(ERROR, fault));
            span.status = Status::error("");
        }
        self.end(span);
    }

    /// An attempt was made. Its ids are those that the receiver got.
    pub fn attempted(&self, made: &DeliveryAttempt<'_>) {
        let attempt = made.attempt;
        let ids = told_ids(&attempt.traceparent);
        let ids = ids.unwrap_or_else(|| (self.new_trace_id(), self.new_span_id()));
        let times = (attempt.started, attempt.duration);
        let parent = &SpanContext::NONE;
        let Some(mut span) = self.span(ids, parent, SpanKind::Client, POST.to_owned(), times)
        else {
            return;
        };
        span.attributes.extend(attributes(made));
        for (name, after) in phases(attempt.duration, attempt.timings) {
            let event = Event::new(name, span.start_time + after, Vec::new(), 0);
            span.events.events.push(event);
        }
        if attempt.cause.is_some() {
            span.status = Status::error("");
        }
        self.end(span);
    }

    /// Sends what waits, for `within` at most. Whether all of it was sent. It blocks.
    pub fn close(&self, within: Duration) -> bool {
        self.processor.shutdown_with_timeout(within).is_ok() && !self.exporting.is_away()
    }

    /// `None` if the sampler wants nothing of it.
    fn span(
        &self,
        (trace, span): (TraceId, SpanId),
        parent: &SpanContext,
        kind: SpanKind,
        name: String,
        (began, took): (Timestamp, Duration),
    ) -> Option<SpanData> {
        let context = Context::new();
        let context = if parent.is_valid() {
            context.with_remote_span_context(parent.clone())
        } else {
            context
        };
        let sampled = self
            .sampler
            .should_sample(Some(&context), trace, &name, &kind, &[], &[]);
        if sampled.decision != SamplingDecision::RecordAndSample {
            return None;
        }
        let since_1970 = u64::try_from(began.as_nanosecond()).unwrap_or_default();
        let start_time = SystemTime::UNIX_EPOCH + Duration::from_nanos(since_1970);
        Some(SpanData {
            // What a caller says in `tracestate` goes nowhere.
            span_context: SpanContext::new(
                trace,
                span,
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: parent.span_id(),
            parent_span_is_remote: parent.is_valid(),
            span_kind: kind,
            name: name.into(),
            start_time,
            end_time: start_time + took,
            attributes: Vec::with_capacity(9),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        })
    }

    fn end(&self, span: SpanData) {
        if self.exporting.has_room() {
            self.processor.on_end(span);
        }
    }

    fn new_trace_id(&self) -> TraceId {
        TraceId::from(u128::from_be_bytes(bytes(&*self.random)) | 1)
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from(u64::from_be_bytes(bytes(&*self.random)) | 1)
    }
}

/// The ids in a `traceparent` that we made; `None` if nothing was sent.
fn told_ids(traceparent: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    Some((trace, span))
}

fn attributes(made: &DeliveryAttempt<'_>) -> Vec<KeyValue> {
    let attempt = made.attempt;
    let mut all = vec![
        KeyValue::new(METHOD, POST),
        KeyValue::new("bellhop.delivery_id", made.delivery.to_string()),
        KeyValue::new("bellhop.webhook_id", made.webhook.to_string()),
        KeyValue::new("bellhop.integration_id", made.integration.to_string()),
        KeyValue::new("bellhop.attempt", i64::from(attempt.number)),
    ];
    if let Some((host, port)) = made.receiver {
        let address = match host {
            Host::Name(name) => name.to_owned(),
            Host::Ip(ip) => ip.to_string(),
        };
        all.push(KeyValue::new("server.address", address));
        all.push(KeyValue::new("server.port", i64::from(port)));
    }
    let response = attempt.response.as_ref();
    all.extend(response.map(|response| KeyValue::new(STATUS, i64::from(response.status))));
    all.extend(
        attempt
            .cause
            .map(|cause| KeyValue::new(ERROR, cause.as_str())),
    );
    all
}

/// The end of each phase that there was, after the beginning of the attempt. What was said over the connection is laid
/// out from the end: before it there may have been a wait. What made the connection is laid out from the beginning, and
/// may have begun even earlier, for another attempt.
fn phases(took: Duration, timings: Timings) -> Vec<(&'static str, Duration)> {
    let micros = |us: u32| Duration::from_micros(us.into());
    let mut said = Vec::new();
    let mut made_by = took;
    if let (Some(send), Some(wait), Some(receive)) =
        (timings.send_us, timings.wait_us, timings.receive_us)
    {
        let first_byte = took.saturating_sub(micros(receive));
        let sent = first_byte.saturating_sub(micros(wait));
        made_by = sent.saturating_sub(micros(send));
        said.extend([
            ("sent", sent),
            ("first_byte", first_byte),
            ("last_byte", took),
        ]);
    }
    let made = [
        ("dns", timings.dns_us),
        ("connect", timings.connect_us),
        ("tls", timings.tls_us),
    ];
    let mut at = Duration::ZERO;
    let made = made.into_iter().filter_map(|(name, us)| {
        at += micros(us?);
        Some((name, at.min(made_by)))
    });
    made.chain(said).collect()
}

/// What `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, and what they leave open.
fn resource() -> Resource {
    let told = Resource::builder().build();
    let is_told = |key: &'static str| {
        let value = told.get(&opentelemetry::Key::from_static_str(key));
        value.is_some_and(|value| !value.as_str().starts_with(NAMELESS))
    };
    let own = [
        ("service.name", NAME),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let open = own.into_iter().filter(|(key, _)| !is_told(key));
    let open = open.map(|(key, value)| KeyValue::new(key, value));
    Resource::builder().with_attributes(open).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_traceparent_are_told() {
        let told = told_ids("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(told.0.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(told.1.to_string(), "b7ad6b7169203331");
        for nothing in ["", "00", "00-xyz-1-01"] {
            assert_eq!(told_ids(nothing), None);
        }
    }

    #[test]
    fn phases_end_in_order_and_within_their_attempt() {
        let timings = Timings {
            dns_us: Some(10),
            connect_us: Some(20),
            ..Timings::default()
        };
        let of = |took, timings| {
            let phases = phases(Duration::from_micros(took), timings).into_iter();
            let phases = phases.map(|(name, after)| (name, after.as_micros()));
            phases.collect::<Vec<_>>()
        };
        assert_eq!(of(1_000, timings), [("dns", 10), ("connect", 30)]);
        let timings = Timings {
            send_us: Some(5),
            wait_us: Some(60),
            receive_us: Some(15),
            ..timings
        };
        let said = [("sent", 925), ("first_byte", 985), ("last_byte", 1_000)];
        assert_eq!(of(1_000, timings)[2..], said);
        // The connection was begun for another attempt.
        let all = [
            ("dns", 10),
            ("connect", 20),
            ("sent", 25),
            ("first_byte", 85),
            ("last_byte", 100),
        ];
        assert_eq!(of(100, timings), all);
    }
}
