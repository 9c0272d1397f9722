//! From command to receiver at a fixed pace: how long one message takes when nothing is in its way.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use serde::Serialize;
use tempfile::TempDir;

use crate::arguments::RunOptions;
use crate::measure::Spread;
use crate::platform::Platform;
use crate::postgres::ClusterMeter;
use crate::producer::Load;
use crate::server::Server;
use crate::sink::Arrival;
use crate::sink_control::{SinkControl, judge};

/// What one pace showed. The commit itself cannot be seen from outside: it lies after the request
/// was sent and before its answer came, so the time from commit to arrival lies between the two.
#[derive(Debug, Serialize)]
pub struct Latency {
    pub per_second: u32,
    pub seconds: u32,
    /// From sending the command to the arrival of its message.
    pub request_to_arrival_ms: Spread,
    /// From the 201 to the arrival; negative when the message was there before the answer.
    pub answer_to_arrival_ms: Spread,
    /// From sending the command to the 201: the durable commit.
    pub request_to_answer_ms: Spread,
    /// How far the load was behind its own pace, at worst.
    pub behind_ms: f64,
    pub server_cpu_us: f64,
    /// On PostgreSQL: of all its processes.
    pub postgres_cpu_us: Option<f64>,
}

pub async fn run(options: &RunOptions, place: &TempDir) -> anyhow::Result<Vec<Latency>> {
    let data = place.path().join("latency");
    std::fs::create_dir(&data)?;
    let sink = SinkControl::start()?;
    let server = Server::start(options.program(), &data).await?;
    let platform = Platform::set_up(&server, &sink).await?;
    // Connections to the sink are opened and code is warm before anything is measured.
    let warm = platform.plan(&server, 500, options.connections);
    warm.carry_out().await?;
    sink.wait_for(500).await?;

    let mut paces = Vec::new();
    for &per_second in &options.paces {
        sink.reset().await?;
        let commands = u64::from(per_second) * u64::from(options.seconds());
        let mut plan = platform.plan(&server, commands, options.connections);
        plan.per_second = Some(per_second);
        let (server_cpu, postgres_cpu) = (server.cpu()?, server.database_cpu()?);
        let load = plan.carry_out().await?;
        judge(&sink.wait_for(commands).await?)?;
        let server_cpu_us = server_cpu.us_per_message(commands)?;
        let of_postgres = |cpu: ClusterMeter| cpu.us_per_message(commands);
        let postgres_cpu_us = postgres_cpu.map(of_postgres).transpose()?;
        let arrivals = sink.arrivals().await?;
        let mut latency = compare(&load, &arrivals)?;
        latency.per_second = per_second;
        latency.seconds = options.seconds();
        latency.server_cpu_us = server_cpu_us;
        latency.postgres_cpu_us = postgres_cpu_us;
        paces.push(latency);
    }
    server.end().await?;
    Ok(paces)
}

/// Pairs each command with the arrival of its message.
pub fn compare(load: &Load, arrivals: &[Arrival]) -> anyhow::Result<Latency> {
    let arrived: HashMap<u128, u64> = arrivals
        .iter()
        .filter(|arrival| arrival.sequence == 1)
        .map(|arrival| (arrival.integration, arrival.at_ns))
        .collect();
    ensure!(
        arrived.len() == load.samples.len(),
        "{} commands, {} first messages",
        load.samples.len(),
        arrived.len()
    );
    let (mut whole, mut after, mut commit) = (Vec::new(), Vec::new(), Vec::new());
    for sample in &load.samples {
        let digits = sample.integration_id.replace('-', "");
        let id = u128::from_str_radix(&digits, 16).context("an integration's Id")?;
        let at_ns = arrived
            .get(&id)
            .with_context(|| format!("no message of {}", sample.integration_id))?;
        whole.push(ms(sample.sent_ns, *at_ns));
        after.push(ms(sample.answered_ns, *at_ns));
        commit.push(ms(sample.sent_ns, sample.answered_ns));
    }
    Ok(Latency {
        per_second: 0,
        seconds: 0,
        request_to_arrival_ms: Spread::of(whole),
        answer_to_arrival_ms: Spread::of(after),
        request_to_answer_ms: Spread::of(commit),
        behind_ms: load.behind_ms,
        server_cpu_us: 0.0,
        postgres_cpu_us: None,
    })
}

/// Milliseconds between two times, negative when the second is the earlier one.
fn ms(from_ns: u64, to_ns: u64) -> f64 {
    (i128::from(to_ns) - i128::from(from_ns)) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::producer::{Load, Sample};
    use crate::sink::Arrival;

    fn load(ids: &[&str]) -> Load {
        let samples = ids.iter().map(|id| Sample {
            integration_id: (*id).to_owned(),
            application_id: String::new(),
            sent_ns: 1_000_000,
            answered_ns: 4_000_000,
        });
        Load {
            first_sent_ns: 0,
            last_answered_ns: 0,
            cpu_ms: 0.0,
            behind_ms: 0.0,
            samples: samples.collect(),
        }
    }

    #[test]
    fn a_message_that_overtakes_its_answer_counts_as_negative() {
        let arrival = Arrival {
            integration: 0xAB,
            sequence: 1,
            at_ns: 3_000_000,
        };
        let load = load(&["00000000-0000-0000-0000-0000000000ab"]);
        let latency = compare(&load, &[arrival]).expect("they match");
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(latency.request_to_arrival_ms.p50, 2.0));
        assert!(close(latency.answer_to_arrival_ms.p50, -1.0));
        assert!(compare(&load, &[]).is_err(), "a message is missing");
    }
}
