//! `bellhop demo`: a whole platform in one command, watched from the receiving side.

mod account;
mod life;
mod platform;
mod show;
mod week;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use anstream::eprintln;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Code, Failure,
    client::Client,
    log,
    receive::{Receiver, ReceiverParts},
    serve::{self, Signals},
    sign_in,
    style::{DIM, HEAD},
};
use crate::{
    app::Parts,
    clock::{Clock as _, SystemClock},
    config::Config,
    domain::secret_text::SecretText,
    id::{EnterpriseId, Ids},
    random::SystemRandom,
    receiving::{Behaviour, Received},
};
use account::{Account, Judgement};
use life::{FAILING_ATTEMPTS, FAILING_SEQUENCE, STEPS, Sample, Step};
use platform::{APPLICATION, ENTERPRISE, Platform, RETRY_SECONDS};
use show::Show;

/// See it work, in ten seconds, with no configuration and no network.
///
/// A sample platform and a receiver on this machine: two integrations go through all six actions, and the receiver fails for one of them, so that retries, order and
/// isolation can be seen. Everything lives in a temporary directory and is gone afterwards.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop demo             watch, then try things out until Ctrl-C
  bellhop demo --once      watch and leave; exit code 7 if anything was not as it should be")]
pub struct Args {
    /// Leave when the show is over; the exit code says whether all was delivered in order and verified.
    #[arg(long)]
    once: bool,
    /// What the server logs, on stderr.
    #[arg(long, value_name = "FILTER", default_value = "error")]
    log: String,
}

/// Pause between two commands, for people to follow.
const PAUSE: Duration = Duration::from_millis(800);
/// The show takes about six seconds; after this long something is wrong.
const TOO_LONG: Duration = Duration::from_secs(30);
/// How long the server may take to record what the receiver has accepted.
const RECORDING: Duration = Duration::from_secs(5);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// What happens on the stage, in order.
#[derive(Debug, Clone, Copy)]
enum Cue {
    /// The operator begins a step.
    Step(Step),
    /// The operator is about to command the integration of this lane.
    Command(usize),
}

/// Everything that the show needs.
#[derive(Debug)]
struct Stage {
    base: String,
    key: SecretText,
    platform: Platform,
    receiver: Receiver,
    received: mpsc::Receiver<Received>,
    samples: [Sample; 2],
}

/// Shows it.
pub fn run(args: &Args) -> Result<(), Failure> {
    let directory = tempfile::Builder::new().prefix("bellhop-demo-").tempdir()?;
    let config = Config::of_flags(vec![
        ("listen", "127.0.0.1:0".to_owned()),
        ("data_dir", directory.path().display().to_string()),
        ("egress_allow", "127.0.0.0/8".to_owned()),
        ("log", args.log.clone()),
        ("log_format", "text".to_owned()),
    ])?;
    log::start(&config.log);
    let runtime = tokio::runtime::Runtime::new()?;
    let shown = runtime.block_on(async {
        let mut signals = Signals::new()?;
        // Whoever does not stay sees no dashboard.
        let stage_hands = if args.once {
            None
        } else {
            eprintln!("{DIM}A week of sample data is being made …{DIM:#}");
            Some(Backstage::set(&config).await?)
        };
        let parts = Parts {
            is_sample: stage_hands.is_some(),
            ..Parts::default()
        };
        let app = serve::build_of(config.clone(), parts).await?;
        let base = format!("http://{}", app.local_addr()?);
        let link = sign_in::greet(&app, &config).await?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let mut server = JoinSet::new();
        server.spawn(app.run(async {
            // A dropped sender stops it as well.
            let _ = stopped.await;
        }));
        let key = config.open_secrets(&SystemRandom)?.operator_key;
        let shown = tokio::select! {
            shown = play(args, base, key, &link) => shown,
            () = signals.next() => Ok(()),
            Some(ended) = server.join_next() => Err(match ended {
                Ok(Ok(())) => Failure::new(Code::Other, "the server ended by itself"),
                Ok(Err(error)) => error.into(),
                Err(panic) => Failure::new(Code::Other, format_args!("the server ended by itself: {panic}")),
            }),
        };
        let _ = stop.send(());
        tokio::select! {
            _ = server.join_next() => {}
            () = signals.next() => {}
        }
        shown
    });
    runtime.shutdown_background();
    shown
}

/// The receivers of the sample week, which go on behaving as they did.
#[derive(Debug)]
struct Backstage {
    _receivers: [Receiver; 3],
    _ignored: JoinSet<()>,
}

impl Backstage {
    /// Starts them, and fills the store with the week that they have behind them.
    async fn set(config: &Config) -> Result<Self, Failure> {
        let mut ignored = JoinSet::new();
        let mut start = async |behaviour: &str| {
            let behaviour = behaviour.parse().unwrap_or_default();
            let parts = ReceiverParts {
                verifier: None,
                clock: Arc::new(SystemClock),
                random: Arc::new(SystemRandom),
            };
            let (receiver, mut received) = Receiver::start(0, behaviour, parts).await?;
            ignored.spawn(async move { while received.recv().await.is_some() {} });
            Ok::<_, Failure>(receiver)
        };
        let receivers = [
            start("200").await?,
            start("500").await?,
            start("404").await?,
        ];
        let url = |place: usize| format!("http://{}", receivers[place].address());
        let urls = week::Receivers {
            good: url(0),
            failing: url(1),
            lost: url(2),
        };
        week::fill(config, &urls, SystemClock.now()).await?;
        Ok(Self {
            _receivers: receivers,
            _ignored: ignored,
        })
    }
}

/// The show from beginning to end; without `--once` it has none.
async fn play(
    args: &Args,
    base: String,
    key: SecretText,
    link: &SecretText,
) -> Result<(), Failure> {
    let mut stage = Stage::set(base, key).await?;
    let show = Show::new(&stage.samples);
    show.say(&stage.introduction())?;
    show.heading()?;
    let performed = stage.perform(&show).await;
    show.finish();
    let judgement = stage.judge(&performed?).await?;
    show.judgement(&judgement)?;
    if !args.once {
        show.say(&stage.invitation(link))?;
        while let Some(received) = stage.received.recv().await {
            show.received(&received, None)?;
        }
    }
    if judgement.is_good() {
        Ok(())
    } else {
        Err(
            Failure::new(Code::CheckFailed, "not everything was as it should be")
                .hint("bellhop demo --once --log debug shows what the server did"),
        )
    }
}

impl Stage {
    async fn set(base: String, key: SecretText) -> Result<Self, Failure> {
        let parts = ReceiverParts {
            verifier: None,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        let (receiver, received) = Receiver::start(0, Behaviour::default(), parts).await?;
        let ids = Ids::new(Arc::new(SystemRandom));
        let now = SystemClock.now();
        let enterprise: EnterpriseId = ids.next(now);
        let url = format!("http://{}/webhooks", receiver.address());
        let client = Client::new(&base, key.clone())?;
        let (platform, verifier) = Platform::set_up(client, enterprise.0, &url).await?;
        receiver.verify_with(verifier);
        let sample = |name| Sample {
            id: ids.next(now),
            name,
        };
        Ok(Self {
            base,
            key,
            platform,
            receiver,
            received,
            samples: [sample("North Wing"), sample("South Wing")],
        })
    }

    fn introduction(&self) -> String {
        let receiver = self.receiver.address();
        let compressed: Vec<_> = RETRY_SECONDS[1..4]
            .iter()
            .map(ToString::to_string)
            .collect();
        format!(
            "{HEAD}Bellhop demo{HEAD:#}: a platform, its partner and their webhooks, all on this machine.\n\
             \n\
             \x20 Server      {}  {DIM}(SQLite in a temporary directory){DIM:#}\n\
             \x20 Receiver    http://{receiver}  {DIM}(checks every signature){DIM:#}\n\
             \x20 Enterprise  {ENTERPRISE}\n\
             \x20 Application {APPLICATION}, connected twice: {} and {}\n\
             \n\
             The operator takes both integrations through all six actions. The receiver answers 500 to the\n\
             first {FAILING_ATTEMPTS} attempts at message {FAILING_SEQUENCE} of {}: its lane waits, the other goes on.\n\
             {DIM}Retry clock compressed: 5 s, 5 min, 30 min ... become {} s ...{DIM:#}\n",
            self.base,
            self.samples[0].name,
            self.samples[1].name,
            self.samples[1].name,
            compressed.join(" s, "),
        )
    }

    /// Plays all steps, shows what arrives, and ends when everything was accepted.
    async fn perform(&mut self, show: &Show) -> Result<Account, Failure> {
        let mut account = Account::new(&self.samples);
        let (cues, mut cued) = mpsc::channel(8);
        let commands = command_all(&self.platform, self.samples, cues);
        tokio::pin!(commands);
        let deadline = tokio::time::sleep(TOO_LONG);
        tokio::pin!(deadline);
        let mut is_commanded = false;
        while !(is_commanded && account.accepted() >= account.expected()) {
            tokio::select! {
                // A cue is given before its command, so its time is noted before anything can arrive.
                biased;
                Some(cue) = cued.recv() => self.follow(cue, &mut account, show)?,
                Some(received) = self.received.recv() => {
                    self.notice(&received, &mut account, show)?;
                }
                done = &mut commands, if !is_commanded => {
                    done?;
                    is_commanded = true;
                }
                () = &mut deadline => {
                    return Err(Failure::new(Code::TimedOut, format_args!(
                        "only {} of {} messages arrived within {} s",
                        account.accepted(), account.expected(), TOO_LONG.as_secs()
                    )).hint("bellhop demo --once --log debug shows what the server did"));
                }
            }
        }
        Ok(account)
    }

    fn follow(&self, cue: Cue, account: &mut Account, show: &Show) -> Result<(), Failure> {
        match cue {
            Cue::Step(step) => {
                if Some(&step) == STEPS.get(FAILING_SEQUENCE as usize - 1) {
                    self.treat_second(Behaviour::Failing(FAILING_ATTEMPTS));
                }
                show.step(step)?;
            }
            Cue::Command(lane) => account.command(lane, SystemClock.now()),
        }
        Ok(())
    }

    fn notice(
        &self,
        received: &Received,
        account: &mut Account,
        show: &Show,
    ) -> Result<(), Failure> {
        let placed = account.receive(received);
        let is_second = received.integration == Some(self.samples[1].id.0);
        if is_second && received.attempt == Some(FAILING_ATTEMPTS) {
            self.treat_second(Behaviour::default());
        }
        show.received(received, placed)?;
        let message = if received.answer.is_success() {
            ""
        } else {
            "a lane waits for its retry; the other goes on"
        };
        show.progress(account, message);
        Ok(())
    }

    fn treat_second(&self, behaviour: Behaviour) {
        self.receiver.behave_for(self.samples[1].id.0, behaviour);
    }

    /// Compares what arrived with what the server says, once it has recorded everything.
    async fn judge(&self, account: &Account) -> Result<Judgement, Failure> {
        let mut histories = Vec::new();
        for sample in &self.samples {
            histories.push(self.platform.history(sample.id).await?);
        }
        let deadline = tokio::time::Instant::now() + RECORDING;
        loop {
            let deliveries = self.platform.deliveries().await?;
            let is_recorded = deliveries
                .iter()
                .all(|delivery| delivery.state != "Pending");
            if is_recorded || tokio::time::Instant::now() > deadline {
                return Ok(account.judge(&histories, &deliveries));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn invitation(&self, link: &SecretText) -> String {
        let (base, key) = (&self.base, self.key.expose());
        let (application, enterprise) = (self.platform.application_id, self.platform.enterprise_id);
        let receiver = self.receiver.address();
        let link = link.expose();
        format!(
            "\n{HEAD}It goes on until Ctrl-C.{HEAD:#} Open the dashboard (the link works once, within 30 minutes):\n\
             \n\
             \x20 {link}\n\
             \n\
             Things to try in another terminal, with this demo's key:\n\
             \n\
             \x20 export KEY={key}\n\
             \n\
             \x20 curl -H \"Authorization: Bearer $KEY\" {base}/v1/deliveries\n\
             \n\
             \x20 curl -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' {base}/v1/integrations \\\n\
             \x20   -d '{{\"ApplicationId\":\"{application}\",\n\
             \x20        \"EnterpriseId\":\"{enterprise}\", \"Name\":\"Annex\"}}'\n\
             \n\
             \x20 curl -d 500 http://{receiver}/_behave      {DIM}the receiver fails from now on; -d 200 mends it{DIM:#}\n\
             \n\
             {DIM}The API's description: {base}/docs{DIM:#}\n"
        )
    }
}

/// The operator: every step to each integration, with pauses for those who watch.
async fn command_all(
    platform: &Platform,
    samples: [Sample; 2],
    cues: mpsc::Sender<Cue>,
) -> Result<(), Failure> {
    for (index, step) in STEPS.into_iter().enumerate() {
        if index > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        // Nobody listens only when the show is over.
        let _ = cues.send(Cue::Step(step)).await;
        for (lane, sample) in samples.into_iter().enumerate() {
            let _ = cues.send(Cue::Command(lane)).await;
            platform.command(step, sample).await?;
        }
    }
    Ok(())
}
