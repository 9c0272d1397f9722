//! Clocks, processes and disks, read from the operating system; and what to make of many figures.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// Nanoseconds of `CLOCK_MONOTONIC`, which all processes of one machine share.
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every system has this clock");
    time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned()
}

/// Unix seconds, for the timestamp of a signature.
pub fn unix_seconds() -> i64 {
    clock_gettime(ClockId::CLOCK_REALTIME)
        .expect("every system has this clock")
        .tv_sec()
}

/// CPU time of a process, user and system, of all its threads, also of those that have ended. To the
/// nanosecond: what `/proc/<pid>/stat` says is sampled, and wrong where there is little to do.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?;
    Ok(clock_gettime(clock)?.into())
}

/// The CPU time that a process spends from now on.
pub struct CpuMeter {
    pid: u32,
    before: Duration,
}

impl CpuMeter {
    pub fn start(pid: u32) -> anyhow::Result<Self> {
        let before = cpu(pid)?;
        Ok(Self { pid, before })
    }

    /// Microseconds for each of so many messages.
    pub fn us_per_message(&self, messages: u64) -> anyhow::Result<f64> {
        let used = cpu(self.pid)?.saturating_sub(self.before);
        Ok(used.as_secs_f64() * 1e6 / messages as f64)
    }
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// Resident now (`VmRSS`).
    pub resident_kib: u64,
    /// The most it was (`VmHWM`).
    pub peak_kib: u64,
}

impl Memory {
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let file = format!("/proc/{pid}/status");
        let text = fs::read_to_string(&file).context(file)?;
        let value = |name: &str| -> anyhow::Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let digits = line.and_then(|rest| rest.split_whitespace().next());
            digits.context("no such line")?.parse().context("no number")
        };
        Ok(Self {
            resident_kib: value("VmRSS:").context("VmRSS")?,
            peak_kib: value("VmHWM:").context("VmHWM")?,
        })
    }
}

/// Bytes of all files in a directory, and of those that are a write-ahead log.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Size {
    pub total_bytes: u64,
    pub wal_bytes: u64,
}

impl Size {
    pub fn of(directory: &Path) -> anyhow::Result<Self> {
        let mut size = Self::default();
        for entry in fs::read_dir(directory).context("reading the data directory")? {
            let entry = entry?;
            let bytes = entry.metadata()?.len();
            size.total_bytes += bytes;
            if entry.file_name().to_string_lossy().ends_with("-wal") {
                size.wal_bytes += bytes;
            }
        }
        Ok(size)
    }
}

/// The middle of what `fdatasync` takes after a write of 4 KiB to a file that is long enough already,
/// as a write-ahead log is: every durable commit waits for one.
pub fn sync_ms(directory: &Path) -> anyhow::Result<f64> {
    const BLOCK: [u8; 4096] = [0; 4096];
    const BLOCKS: usize = 256;
    let mut file = File::create(directory.join("sync"))?;
    file.write_all(&BLOCK.repeat(BLOCKS))?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let mut took_ms = Vec::new();
    for _ in 0..BLOCKS {
        file.write_all(&BLOCK)?;
        let started = Instant::now();
        file.sync_data()?;
        took_ms.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Spread::of(took_ms).p50)
}

/// How many figures lie.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Spread {
    pub count: u64,
    pub min: f64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Spread {
    /// Nearest rank: each is a figure that was really measured. All 0 for none.
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (share * figures.len() as f64).ceil() as usize;
            figures
                .get(rank.saturating_sub(1))
                .copied()
                .unwrap_or_default()
        };
        Self {
            count: figures.len() as u64,
            min: at(0.0),
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

/// A straight line through figures over time (least squares): whether they rise.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Slope {
    pub mean: f64,
    /// What one minute adds.
    pub per_minute: f64,
    /// What the whole time adds, as a part of the mean.
    pub growth: f64,
}

impl Slope {
    /// Of pairs of seconds and a figure.
    pub fn of(figures: impl Iterator<Item = (f64, f64)>) -> Self {
        let figures: Vec<_> = figures.collect();
        let n = figures.len().max(1) as f64;
        let at_mean = figures.iter().map(|(at, _)| at).sum::<f64>() / n;
        let mean = figures.iter().map(|(_, figure)| figure).sum::<f64>() / n;
        let (mut along, mut across) = (0.0, 0.0);
        for (at, figure) in &figures {
            along += (at - at_mean) * (figure - mean);
            across += (at - at_mean).powi(2);
        }
        let per_second = if across > 0.0 { along / across } else { 0.0 };
        let seconds = match (figures.first(), figures.last()) {
            (Some(first), Some(last)) => last.0 - first.0,
            _ => 0.0,
        };
        Self {
            mean,
            per_minute: per_second * 60.0,
            growth: if mean > 0.0 {
                per_second * seconds / mean
            } else {
                0.0
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Slope, Spread, cpu, now_ns};

    #[test]
    fn a_slope_is_what_a_minute_adds() {
        let rising = (0..=10).map(|n| (f64::from(n) * 6.0, 100.0 + f64::from(n)));
        let slope = Slope::of(rising);
        assert!((slope.per_minute - 10.0).abs() < 1e-9, "{slope:?}");
        assert!((slope.mean - 105.0).abs() < 1e-9);
        assert!((slope.growth - 10.0 / 105.0).abs() < 1e-9);
        let level = Slope::of([(0.0, 5.0), (6.0, 7.0), (12.0, 5.0)].into_iter());
        assert!(level.per_minute.abs() < 1e-9);
        assert!(Slope::of(std::iter::empty()).growth.abs() < 1e-9);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect());
        assert_eq!(
            (spread.min, spread.p50, spread.p99, spread.max),
            (1.0, 100.0, 198.0, 200.0)
        );
        assert!((Spread::of(vec![7.0]).p99 - 7.0).abs() < f64::EPSILON);
        assert_eq!(Spread::of(vec![]).count, 0);
    }

    #[test]
    fn the_clock_goes_forward() {
        let before = now_ns();
        assert!(now_ns() >= before);
    }

    #[test]
    fn cpu_time_is_finer_than_a_tick() {
        let before = cpu(std::process::id()).unwrap();
        let sum: u64 = (0..100_000).map(std::hint::black_box).sum();
        assert_eq!(sum, 4_999_950_000);
        let used = cpu(std::process::id()).unwrap().saturating_sub(before);
        assert!(!used.is_zero() && used.as_millis() < 1000);
    }
}
