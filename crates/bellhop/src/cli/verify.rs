//! `bellhop verify`: says whether a signature is right, and which mistake keeps it from being right.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use bellhop_webhook::{
    DEFAULT_TOLERANCE_SECONDS, Evidence, Explanation, HEADER_ID, HEADER_SIGNATURE,
    HEADER_TIMESTAMP, KnownSecret, explain,
};

use super::{
    Code, Failure,
    secret_input::{self, SecretArgs},
    style::{BAD, DIM, GOOD, HEAD},
    verify_message::{Head, When},
};
use crate::clock::{Clock as _, SystemClock};

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

/// The three headers, as far as they were there.
#[derive(Debug, Default, PartialEq, Eq)]
struct Headers {
    id: Option<String>,
    timestamp: Option<String>,
    signature: Option<String>,
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
    let head = Head::parse(&pasted);
    let headers = args.read_headers(&pasted, head.is_signed())?;
    let body = read_body(&args.body)?;
    let current = args.secrets.read()?;
    let mut former = Vec::new();
    for path in &args.former_secret_file {
        former.extend(secret_input::in_file(path)?);
    }
    let secrets: Vec<_> = current
        .iter()
        .map(|given| (given, true))
        .chain(former.iter().map(|given| (given, false)))
        .map(|(given, is_current)| KnownSecret {
            label: &given.label,
            text: given.text.expose(),
            is_current,
        })
        .collect();
    let now = args.now.unwrap_or_else(|| SystemClock.now().as_second());
    let standard = (headers != Headers::default()).then(|| {
        explain(&Evidence {
            id: headers.id.as_deref(),
            timestamp: headers.timestamp.as_deref(),
            signature: headers.signature.as_deref(),
            body: &body,
            secrets: &secrets,
            now,
            tolerance_seconds: args.tolerance,
        })
    });
    let when = When {
        now,
        tolerance_seconds: args.tolerance,
    };
    let explanation = match standard {
        Some(standard) if !head.is_signed() => standard,
        standard => head.explain(standard, args.url.as_ref(), &body, &current, when),
    };
    print(args.output, &explanation)?;
    if explanation.verdict.verified {
        Ok(())
    } else {
        Err(Failure::told(Code::CheckFailed))
    }
}

impl Args {
    /// The three of Standard Webhooks; none, if the request is signed in the other way alone.
    fn read_headers(&self, pasted: &str, is_message: bool) -> Result<Headers, Failure> {
        let mut headers = Headers::parse(pasted);
        let given = [
            (&self.id, &mut headers.id),
            (&self.timestamp, &mut headers.timestamp),
            (&self.signature, &mut headers.signature),
        ];
        for (flag, header) in given {
            if flag.is_some() {
                header.clone_from(flag);
            }
        }
        if is_message && headers.signature.is_none() {
            return Ok(Headers::default());
        }
        if headers == Headers::default() {
            return Err(Failure::new(Code::Usage, "there are no headers to verify")
                .hint("give --headers FILE with the lines webhook-id, webhook-timestamp and webhook-signature"));
        }
        Ok(headers)
    }
}

impl Headers {
    /// Lines `name: value`, with or without the `>` that curl puts before them.
    fn parse(text: &str) -> Self {
        let mut headers = Self::default();
        for line in text.lines() {
            let line = line.trim_start_matches(['>', '<', ' ']);
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let slot = match name.trim().to_ascii_lowercase().as_str() {
                HEADER_ID => &mut headers.id,
                HEADER_TIMESTAMP => &mut headers.timestamp,
                HEADER_SIGNATURE => &mut headers.signature,
                _ => continue,
            };
            *slot = Some(value.trim().to_owned());
        }
        headers
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_what_people_paste() {
        let wanted = Headers {
            id: Some("msg_1".into()),
            timestamp: Some("12".into()),
            signature: Some("v1,x= v1a,y=".into()),
        };
        for text in [
            "webhook-id: msg_1\nwebhook-timestamp: 12\nwebhook-signature: v1,x= v1a,y=\n",
            "POST /in HTTP/1.1\r\nHost: a:80\r\nWebhook-Id:msg_1\r\nWEBHOOK-TIMESTAMP: 12 \r\nWebhook-Signature: v1,x= v1a,y=\r\n\r\n",
            "> webhook-id: msg_1\n> webhook-timestamp: 12\n> webhook-signature: v1,x= v1a,y=\n>",
        ] {
            assert_eq!(Headers::parse(text), wanted);
        }
    }
}
