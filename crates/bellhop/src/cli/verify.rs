//! `bellhop verify`: says whether a signature is right, and which mistake keeps it from being right.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use bellhop_webhook::{
    DEFAULT_TOLERANCE_SECONDS, Explanation, HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP,
};

use super::{
    Code, Failure,
    secret_input::{self, SecretArgs},
    style::{BAD, DIM, GOOD, HEAD},
};
use crate::{
    clock::{Clock as _, SystemClock},
    receiving::{GivenSecret, RequestHead, When, explain_request},
};

/// Explain why a webhook's signature does or does not verify.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop verify --headers request.headers --body request.body --secret-file webhook.secret
  pbpaste | bellhop verify --headers request.headers --body - --secret-file webhook.secret
  bellhop verify --id msg_... --timestamp 1614265330 --signature v1,... \\
    --body request.body --secret-file webhook.secret -o json

Exit code 0 if the signature verifies, 7 if not.")]
pub struct Args {
    /// A file with the request's headers, one a line, as in `webhook-id: msg_...`. Other lines do not matter.
    #[arg(long, value_name = "FILE")]
    headers: Option<PathBuf>,
    /// The header webhook-id, in place of --headers.
    #[arg(long)]
    id: Option<String>,
    /// The header webhook-timestamp, in place of --headers.
    #[arg(long, allow_hyphen_values = true)]
    timestamp: Option<String>,
    /// The header webhook-signature, in place of --headers.
    #[arg(long)]
    signature: Option<String>,
    /// The webhook's URL, for HTTP message signatures (signature-input) of a request whose host or path a proxy changed.
    #[arg(long)]
    url: Option<url::Url>,
    /// A file with the body, byte for byte; - reads stdin.
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    #[command(flatten)]
    secrets: SecretArgs,
    /// A file with secrets that are no longer in force, to be recognised.
    #[arg(long, value_name = "FILE")]
    former_secret_file: Vec<PathBuf>,
    /// Verify as if it were this moment, in unix seconds [default: now].
    #[arg(long, value_name = "SECONDS")]
    now: Option<i64>,
    /// How far the timestamp may be from now.
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_TOLERANCE_SECONDS)]
    tolerance: u64,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Output {
    /// The checks, one a line, and the verdict.
    Table,
    /// One document.
    Json,
}

/// Explains; fails with code 7 if the request does not verify.
pub fn run(args: &Args) -> Result<(), Failure> {
    if args.secrets.takes_stdin() && args.body == Path::new("-") {
        return Err(
            Failure::new(Code::Usage, "stdin cannot be the secret and the body")
                .hint("give the secret with --secret-file FILE"),
        );
    }
    let pasted = match &args.headers {
        Some(path) => secret_input::read_text(path)?,
        None => String::new(),
    };
    let head = args.read_head(&pasted)?;
    let body = read_body(&args.body)?;
    let mut secrets = args.secrets.read()?;
    for path in &args.former_secret_file {
        let former = secret_input::in_file(path)?.into_iter();
        secrets.extend(former.map(|given| GivenSecret {
            is_current: false,
            ..given
        }));
    }
    let when = When {
        now: args.now.unwrap_or_else(|| SystemClock.now().as_second()),
        tolerance_seconds: args.tolerance,
    };
    let explanation = explain_request(&head, args.url.as_ref(), &body, &secrets, when);
    print(args.output, &explanation)?;
    if explanation.verdict.verified {
        Ok(())
    } else {
        Err(Failure::told(Code::CheckFailed))
    }
}

impl Args {
    /// What was pasted, and what flags say in its place.
    fn read_head(&self, pasted: &str) -> Result<RequestHead, Failure> {
        let mut head = RequestHead::parse(pasted);
        let given = [
            (&self.id, HEADER_ID),
            (&self.timestamp, HEADER_TIMESTAMP),
            (&self.signature, HEADER_SIGNATURE),
        ];
        for (flag, header) in given {
            if let Some(value) = flag {
                head.set(header, value);
            }
        }
        if head.is_empty() {
            return Err(Failure::new(Code::Usage, "there are no headers to verify")
                .hint("give --headers FILE with the lines webhook-id, webhook-timestamp and webhook-signature"));
        }
        Ok(head)
    }
}

fn read_body(path: &Path) -> Result<Vec<u8>, Failure> {
    if path == Path::new("-") {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body)?;
        return Ok(body);
    }
    fs::read(path).map_err(|error| secret_input::cannot_read(path, &error))
}

fn print(output: Output, explanation: &Explanation) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match output {
        Output::Json => {
            let document = serde_json::to_string_pretty(explanation)
                .expect("an explanation is texts and booleans");
            writeln!(out, "{document}")?;
        }
        Output::Table => {
            let steps = &explanation.steps;
            let width = steps.iter().map(|step| step.check.len()).max().unwrap_or(0);
            for step in steps {
                let (style, word) = if step.ok {
                    (GOOD, "ok  ")
                } else {
                    (BAD, "FAIL")
                };
                let (check, detail) = (step.check, &step.detail);
                writeln!(
                    out,
                    "{style}{word}{style:#}  {check:width$}  {DIM}{detail}{DIM:#}"
                )?;
            }
            let verdict = &explanation.verdict;
            let (style, word) = if verdict.verified {
                (GOOD, "Verified.")
            } else {
                (BAD, "Not verified.")
            };
            writeln!(out)?;
            writeln!(
                out,
                "{style}{word}{style:#} {HEAD}{}{HEAD:#}",
                verdict.summary
            )?;
            writeln!(out, "Next: {}", verdict.next_step)?;
        }
    }
    Ok(())
}
