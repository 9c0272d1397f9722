//! Figures for Prometheus. No label has an unbounded number of values: none names a webhook or an integration.

use std::{
    sync::{Mutex, atomic::AtomicU64},
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};

use crate::{
    domain::{cause::Cause, delivery::DeliveryState},
    store::{Purged, Resealed, Standing, Stats},
};

pub mod traces;

mod process;

use process::Process;

/// From half a millisecond to half a minute: a store's commit to a slow receiver.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 30.0,
];
/// How many writes share one commit.
const BATCH: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

type Seconds = Gauge<f64, AtomicU64>;

/// The figures of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    attempts: Family<AttemptLabels, Counter>,
    attempt_duration: Histogram,
    first_attempt: Histogram,
    http_requests: Family<HttpLabels, Counter>,
    http_duration: Family<RouteLabels, Histogram, MakeHistogram>,
    batch_size: Histogram,
    commit_seconds: Histogram,
    purged: Family<KindLabels, Counter>,
    erased_bodies: Counter,
    resealed_values: Counter,
    former_key_in_use: Gauge,
    encryption_keys: Family<RingLabels, Gauge>,
    traces_dropped: Counter,
    store: StoreGauges,
    /// A scrape sets the gauges and then reads them: one at a time.
    scraping: Mutex<Process>,
}

#[derive(Debug, Default)]
struct StoreGauges {
    deliveries: Family<StateLabels, Gauge>,
    oldest_due: Seconds,
    lanes_held: Gauge,
    operational_pending: Gauge,
    circuits_open: Gauge,
    database_bytes: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    result: &'static str,
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// A handful: as many as there are keys in the ring.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RingLabels {
    key: String,
    r#use: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct MakeHistogram;

impl MetricConstructor<Histogram> for MakeHistogram {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All figures at zero, and all sets of labels that are known beforehand already there, so that the first
    /// failure is a step from 0 to 1 that a rate sees.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let mut metrics = Self {
            attempts: Family::default(),
            attempt_duration: Histogram::new(SECONDS),
            first_attempt: Histogram::new(SECONDS),
            http_requests: Family::default(),
            http_duration: Family::new_with_constructor(MakeHistogram),
            batch_size: Histogram::new(BATCH),
            commit_seconds: Histogram::new(SECONDS),
            purged: Family::default(),
            erased_bodies: Counter::default(),
            resealed_values: Counter::default(),
            former_key_in_use: Gauge::default(),
            encryption_keys: Family::default(),
            traces_dropped: Counter::default(),
            store: StoreGauges::default(),
            scraping: Mutex::new(Process::register(&mut registry)),
            registry: Registry::default(),
        };
        metrics.register(&mut registry);
        metrics.begin_at_zero();
        metrics.registry = registry;
        metrics
    }

    /// An attempt ended; without a cause it succeeded.
    pub fn attempt(&self, cause: Option<Cause>, duration: Duration) {
        self.attempts.get_or_create(&attempt_labels(cause)).inc();
        self.attempt_duration.observe(duration.as_secs_f64());
    }

    /// A delivery was attempted for the first time, so long after its commit.
    pub fn first_attempt(&self, since_commit: Duration) {
        self.first_attempt.observe(since_commit.as_secs_f64());
    }

    /// A request was answered.
    pub fn http_request(
        &self,
        route: &'static str,
        method: &'static str,
        status: u16,
        duration: Duration,
    ) {
        self.http_requests
            .get_or_create(&HttpLabels {
                route,
                method,
                status,
            })
            .inc();
        self.http_duration
            .get_or_create(&RouteLabels { route, method })
            .observe(duration.as_secs_f64());
    }

    /// The store made so many writes durable at once.
    pub fn store_commit(&self, writes: usize, duration: Duration) {
        self.batch_size.observe(writes as f64);
        self.commit_seconds.observe(duration.as_secs_f64());
    }

    /// Retention let go of that.
    pub fn purged(&self, purged: &Purged) {
        for (kind, rows) in kinds(purged) {
            self.purged.get_or_create(&KindLabels { kind }).inc_by(rows);
        }
    }

    /// So many bodies that carried an access token were erased.
    pub fn erased(&self, bodies: u64) {
        self.erased_bodies.inc_by(bodies);
    }

    /// So much was sealed anew with the newest encryption key.
    pub fn resealed(&self, resealed: &Resealed) {
        self.resealed_values.inc_by(resealed.values);
        let in_use = match resealed.standing {
            Standing::UnderWay | Standing::Behind => 1,
            Standing::OneKey | Standing::Done => 0,
        };
        self.former_key_in_use.set(in_use);
    }

    /// These encryption keys are known, newest first.
    pub fn encryption_keys(&self, ids: &[String]) {
        self.encryption_keys.clear();
        for (place, id) in ids.iter().enumerate() {
            let labels = RingLabels {
                key: id.clone(),
                r#use: if place == 0 { "encrypts" } else { "decrypts" },
            };
            self.encryption_keys.get_or_create(&labels).set(1);
        }
    }

    /// All figures in the OpenMetrics text format, with these of the store.
    pub fn scrape(&self, stats: &Stats, now: Timestamp) -> String {
        let process = self.scraping.lock().expect("no holder panics");
        process.read();
        for (state, count) in DeliveryState::ALL.into_iter().zip(stats.deliveries) {
            self.store
                .deliveries
                .get_or_create(&state_labels(state))
                .set(count as i64);
        }
        let age = stats
            .oldest_due
            .map_or(0.0, |due| now.duration_since(due).as_secs_f64().max(0.0));
        self.store.oldest_due.set(age);
        self.store.lanes_held.set(stats.lanes_held as i64);
        self.store
            .operational_pending
            .set(stats.operational_pending as i64);
        self.store.circuits_open.set(stats.circuits_open as i64);
        self.store.database_bytes.set(stats.database_bytes as i64);
        let mut text = String::with_capacity(16 * 1024);
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }

    fn register(&self, to: &mut Registry) {
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        to.register("bellhop_build", "The version that runs", build);
        to.register(
            "bellhop_attempts",
            "Attempts, by result and cause",
            self.attempts.clone(),
        );
        to.register_with_unit(
            "bellhop_attempt_duration",
            "How long attempts took",
            Unit::Seconds,
            self.attempt_duration.clone(),
        );
        to.register_with_unit(
            "bellhop_commit_to_first_attempt",
            "From the commit of a message to its first attempt",
            Unit::Seconds,
            self.first_attempt.clone(),
        );
        to.register_with_unit(
            "bellhop_oldest_due_delivery_age",
            "How long the oldest delivery that may be sent now has been due",
            Unit::Seconds,
            self.store.oldest_due.clone(),
        );
        to.register(
            "bellhop_deliveries",
            "Deliveries, by state",
            self.store.deliveries.clone(),
        );
        to.register(
            "bellhop_lanes_held",
            "Lanes that wait because their webhook is not enabled or its circuit is not closed",
            self.store.lanes_held.clone(),
        );
        to.register(
            "bellhop_operational_messages_pending",
            "Operational messages that are still to be sent to a destination",
            self.store.operational_pending.clone(),
        );
        to.register(
            "bellhop_circuits_open",
            "Webhooks whose circuit is open or half-open",
            self.store.circuits_open.clone(),
        );
        self.register_own(to);
    }

    /// What is about the API and the store.
    fn register_own(&self, to: &mut Registry) {
        to.register(
            "bellhop_http_requests",
            "Requests to the API, by route, method and status",
            self.http_requests.clone(),
        );
        to.register_with_unit(
            "bellhop_http_request_duration",
            "How long requests to the API took",
            Unit::Seconds,
            self.http_duration.clone(),
        );
        to.register(
            "bellhop_store_batch_size",
            "How many writes one commit made durable",
            self.batch_size.clone(),
        );
        to.register_with_unit(
            "bellhop_store_commit",
            "How long commits took",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        to.register(
            "bellhop_purged",
            "What retention let go of, by kind",
            self.purged.clone(),
        );
        to.register(
            "bellhop_erased_bodies",
            "Bodies of messages that carried an access token and were erased",
            self.erased_bodies.clone(),
        );
        to.register(
            "bellhop_resealed_values",
            "Values that a former encryption key had sealed and the newest one has sealed anew",
            self.resealed_values.clone(),
        );
        to.register(
            "bellhop_former_key_in_use",
            "Whether something may still be sealed with a former encryption key",
            self.former_key_in_use.clone(),
        );
        to.register(
            "bellhop_encryption_keys",
            "The encryption keys that this process knows, by id and use",
            self.encryption_keys.clone(),
        );
        to.register(
            "bellhop_traces_dropped",
            "Spans that the collector of traces did not take, or that there was no room for",
            self.traces_dropped.clone(),
        );
        to.register_with_unit(
            "bellhop_store_database",
            "Size of the database",
            Unit::Bytes,
            self.store.database_bytes.clone(),
        );
    }

    fn begin_at_zero(&self) {
        drop(self.attempts.get_or_create(&attempt_labels(None)));
        for cause in Cause::ALL {
            drop(self.attempts.get_or_create(&attempt_labels(Some(*cause))));
        }
        self.purged(&Purged::default());
        for state in DeliveryState::ALL {
            drop(self.store.deliveries.get_or_create(&state_labels(state)));
        }
    }
}

fn kinds(purged: &Purged) -> [(&'static str, u64); 4] {
    [
        ("deliveries", purged.deliveries),
        ("tombstones", purged.tombstones),
        ("replays", purged.replays),
        ("others", purged.others),
    ]
}

fn attempt_labels(cause: Option<Cause>) -> AttemptLabels {
    AttemptLabels {
        result: if cause.is_none() {
            "succeeded"
        } else {
            "failed"
        },
        cause: cause.map_or("none", Cause::as_str),
    }
}

fn state_labels(state: DeliveryState) -> StateLabels {
    StateLabels {
        state: state.as_str(),
    }
}
