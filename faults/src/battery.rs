//! The battery: parts that each break a server in one way, and the sum of their verdicts.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    checker, clock::since_1970, log::Evidence, parts, random::Random, report::Verdict,
    stage::Ground,
};

/// What a run does.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's program.
    pub binary: PathBuf,
    /// The same, built with the feature `fault-points`; without it the part `points` does not run.
    pub with_points: Option<PathBuf>,
    /// What all random choices come from.
    pub seed: u64,
    /// Where PostgreSQL's server programs are; without them the parts of replicas do not run.
    pub postgres: Option<PathBuf>,
    /// How many faults of each kind.
    pub form: Form,
    /// Longest wait after the last command until everything has arrived.
    pub settle_within: Duration,
    /// Where to keep the logs, whatever the verdict; otherwise they are kept if it does not hold.
    pub keep: Option<PathBuf>,
}

/// How long the battery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Some minutes, for every change.
    Short,
    /// Hours, before a release.
    Long,
}

/// One way to break a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// R1: SIGKILL at random moments.
    Kills,
    /// R1: SIGKILL at named points.
    Points,
    /// R5: the network between the server and its receivers.
    Network,
    /// R6: hostile receivers beside healthy ones.
    Zoo,
    /// R7: the server's clock jumps.
    Clock,
    /// R8: the disk is full.
    Disk,
    /// R9: the connection dies during the answer to a command.
    Ambiguous,
    /// R10: SIGTERM under load.
    Drain,
    /// R11: a receiver that is down for long, and its backlog.
    Backlog,
    /// R1 with replicas: one of them is killed, at any moment and at named points.
    ReplicaKills,
    /// R2: a replica is stopped past its leases, and goes on.
    Zombies,
    /// R3: PostgreSQL's first process is killed.
    Postmaster,
    /// R4: a standby takes the place of the primary.
    Failover,
    /// R5: the network between replicas and PostgreSQL.
    DatabaseNetwork,
    /// R9 with replicas: the connection dies during an answer or a commit.
    ReplicaAmbiguous,
    /// R10 with replicas: each is replaced in turn.
    Rolling,
}

impl Part {
    /// Every part, in the order in which they run.
    pub const ALL: [Self; 16] = [
        Self::Kills,
        Self::Points,
        Self::Network,
        Self::Zoo,
        Self::Clock,
        Self::Disk,
        Self::Ambiguous,
        Self::Drain,
        Self::Backlog,
        Self::ReplicaKills,
        Self::Zombies,
        Self::Postmaster,
        Self::Failover,
        Self::DatabaseNetwork,
        Self::ReplicaAmbiguous,
        Self::Rolling,
    ];

    /// Those of the short form: all but the zoo, which compares times of a wall clock (`faults/README.md`).
    pub fn short() -> Vec<Self> {
        let all = Self::ALL.into_iter();
        all.filter(|part| *part != Self::Zoo).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::Points => "points",
            Self::Network => "network",
            Self::Zoo => "zoo",
            Self::Clock => "clock",
            Self::Disk => "disk",
            Self::Ambiguous => "ambiguous",
            Self::Drain => "drain",
            Self::Backlog => "backlog",
            Self::ReplicaKills => "replica-kills",
            Self::Zombies => "zombies",
            Self::Postmaster => "postmaster",
            Self::Failover => "failover",
            Self::DatabaseNetwork => "database-network",
            Self::ReplicaAmbiguous => "replica-ambiguous",
            Self::Rolling => "rolling",
        }
    }

    fn is_of_replicas(self) -> bool {
        matches!(
            self,
            Self::ReplicaKills
                | Self::Zombies
                | Self::Postmaster
                | Self::Failover
                | Self::DatabaseNetwork
                | Self::ReplicaAmbiguous
                | Self::Rolling
        )
    }
}

/// What came of a part.
pub enum Outcome {
    /// It ran: what the judge is to read.
    Ran(Box<Evidence>),
    /// It did not run: why, and what it takes.
    Skipped(String),
}

impl Options {
    /// The short form.
    pub fn short(binary: PathBuf, seed: u64) -> Self {
        Self {
            binary,
            with_points: None,
            postgres: None,
            seed,
            form: Form::Short,
            settle_within: Duration::from_mins(2),
            keep: None,
        }
    }

    /// How often, in this form.
    pub fn times(&self, short: u64, long: u64) -> u64 {
        match self.form {
            Form::Short => short,
            Form::Long => long,
        }
    }
}

/// A seed that has not been used.
pub fn fresh_seed() -> u64 {
    Random::new(since_1970().as_nanos() as u64).next()
}

/// Runs parts of the battery and judges them.
pub async fn run(options: &Options, wanted: &[Part]) -> anyhow::Result<Verdict> {
    let mut sum = Verdict::default();
    for part in wanted {
        let began = Instant::now();
        let verdict = run_part(options, *part).await?;
        let took_s = began.elapsed().as_secs_f32();
        let name = part.name();
        match verdict {
            Ok(verdict) => {
                eprintln!("{name:>17}  {took_s:5.1} s  {verdict}");
                sum.add(verdict);
            }
            Err(why) => eprintln!("{name:>17}  skipped: {why}"),
        }
    }
    Ok(sum)
}

async fn run_part(options: &Options, part: Part) -> anyhow::Result<Result<Verdict, String>> {
    let folder = tempfile::Builder::new()
        .prefix("bellhop-faults-")
        .tempdir()?;
    let (name, seed) = (part.name(), options.seed);
    let evidence = match gather(options, part, folder.path()).await {
        Ok(Outcome::Ran(evidence)) => evidence,
        Ok(Outcome::Skipped(why)) => return Ok(Err(why)),
        Err(error) => {
            let kept = folder.keep();
            let said = last_lines(&kept.join("server.log"));
            let place = kept.display();
            return Err(error.context(format!(
                "{name}, seed {seed}, files in {place}; the server said:\n{said}"
            )));
        }
    };
    let mut verdict = checker::judge(&evidence);
    if let Some(keep) = &options.keep {
        evidence.write(&keep.join(name))?;
    }
    if !verdict.holds() {
        let kept = folder.keep();
        evidence.write(&kept)?;
        let place = kept.display();
        let note = format!("{name}: seed {seed}, logs in {place}");
        verdict.notes.insert(0, note);
    }
    Ok(Ok(verdict))
}

async fn gather(options: &Options, part: Part, folder: &Path) -> anyhow::Result<Outcome> {
    let ground = match &options.postgres {
        _ if !part.is_of_replicas() => Ground::Sqlite,
        Some(programs) => Ground::Postgres(programs.clone()),
        None => {
            let why = "needs --postgres and the folder of PostgreSQL's server programs";
            return Ok(Outcome::Skipped(why.into()));
        }
    };
    let evidence = match part {
        Part::Kills => parts::kills::run(options, folder).await,
        Part::Points | Part::ReplicaKills => {
            return parts::points::run(options, ground, folder).await;
        }
        Part::Network | Part::DatabaseNetwork => parts::network::run(options, ground, folder).await,
        Part::Zoo => parts::zoo::run(options, folder).await,
        Part::Clock => return parts::clock::run(options, folder).await,
        Part::Disk => return parts::disk::run(options, folder).await,
        Part::Ambiguous | Part::ReplicaAmbiguous => {
            parts::ambiguous::run(options, ground, folder).await
        }
        Part::Drain | Part::Rolling => parts::drain::run(options, ground, folder).await,
        Part::Zombies => return parts::zombies::run(options, ground, folder).await,
        Part::Failover => parts::failover::run(options, ground, folder).await,
        Part::Postmaster => parts::postmaster::run(options, ground, folder).await,
        Part::Backlog => parts::backlog::run(options, folder).await,
    };
    evidence.map(|evidence| Outcome::Ran(Box::new(evidence)))
}

fn last_lines(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
