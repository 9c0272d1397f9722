//! What the operating system says of this process, under the names that Prometheus' own clients use.

use std::{fs, sync::atomic::AtomicU64, time::Duration};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};

/// Figures of this process.
#[derive(Debug, Default)]
pub struct Process {
    cpu_seconds: Counter<f64, AtomicU64>,
    resident_bytes: Gauge,
    open_fds: Gauge,
}

impl Process {
    /// Registers the figures.
    pub fn register(to: &mut Registry) -> Self {
        let process = Self::default();
        to.register_with_unit(
            "process_cpu",
            "Processor time that was used",
            Unit::Seconds,
            process.cpu_seconds.clone(),
        );
        to.register_with_unit(
            "process_resident_memory",
            "Memory in use",
            Unit::Bytes,
            process.resident_bytes.clone(),
        );
        to.register(
            "process_open_fds",
            "Open files and sockets",
            process.open_fds.clone(),
        );
        process
    }

    /// Reads them anew; what the system does not say stays.
    pub fn read(&self) {
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let used = seconds(usage.user_time()) + seconds(usage.system_time());
            self.cpu_seconds
                .inc_by((used - self.cpu_seconds.get()).max(0.0));
        }
        if let Some(bytes) = resident_bytes() {
            self.resident_bytes.set(bytes);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is being read.
            self.open_fds.set(files.count() as i64 - 1);
        }
    }
}

fn seconds(time: TimeVal) -> f64 {
    let whole = Duration::from_secs(time.tv_sec() as u64);
    (whole + Duration::from_micros(time.tv_usec() as u64)).as_secs_f64()
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
