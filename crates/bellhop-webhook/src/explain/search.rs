//! Trying the usual mistakes until a signature matches.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::reading::Item;
use super::rewrites::{Rewrite, rewrites};
use super::{Cause, Evidence, KnownSecret};
use crate::{Scheme, Secret, SigningKey, VerifyingKey};

/// More than two mistakes at once are not believable, and cost time.
const MAX_MISTAKES: usize = 2;

/// A way in which the request verifies after all.
pub(super) struct Match<'a> {
    pub secret: KnownSecret<'a>,
    pub scheme: Scheme,
    /// What had to be assumed, the first to be mended first; empty if nothing.
    pub mistakes: Vec<Mistake>,
}

/// A deviation from the standard, or from the request as it was sent.
#[derive(Clone)]
pub(super) struct Mistake {
    pub cause: Cause,
    /// What was found: a sentence.
    pub story: String,
}

/// A secret or key, with a way to misread it.
struct Trial<'a> {
    secret: KnownSecret<'a>,
    key: Key,
    mistake: Option<Mistake>,
}

enum Key {
    Hmac(Box<hmac::Key>),
    Ed25519(VerifyingKey),
}

/// What was put before the body to be signed.
struct Prefix {
    bytes: Vec<u8>,
    mistake: Option<Mistake>,
}

/// The match with the fewest mistakes, if there is one.
pub(super) fn search<'a>(evidence: &Evidence<'a>, items: &[Item]) -> Option<Match<'a>> {
    let bodies = rewrites(evidence.body);
    let prefixes = prefixes(evidence);
    let trials: Vec<_> = evidence.secrets.iter().flat_map(trials).collect();
    let mut guesses = Vec::new();
    for trial in &trials {
        for prefix in &prefixes {
            guesses.extend(bodies.iter().map(|body| (trial, prefix, body)));
        }
    }
    guesses.retain(|guess| count_mistakes(*guess) <= MAX_MISTAKES);
    guesses.sort_by_key(|guess| count_mistakes(*guess));
    guesses.into_iter().find_map(|(trial, prefix, body)| {
        let item = find(items, trial, prefix, body)?;
        Some(describe(trial, prefix, body, item, evidence))
    })
}

fn count_mistakes((trial, prefix, body): (&Trial<'_>, &Prefix, &Rewrite)) -> usize {
    let mistakes = [
        trial.mistake.is_some(),
        !trial.secret.is_current,
        prefix.mistake.is_some(),
        body.cause.is_some(),
    ];
    mistakes.into_iter().filter(|is_made| *is_made).count()
}

fn find<'i>(
    items: &'i [Item],
    trial: &Trial<'_>,
    prefix: &Prefix,
    body: &Rewrite,
) -> Option<&'i Item> {
    let matches: Box<dyn Fn(&&Item) -> bool> = match &trial.key {
        Key::Hmac(key) => {
            let mut context = hmac::Context::with_key(key);
            context.update(&prefix.bytes);
            context.update(&body.bytes);
            let tag = context.sign();
            Box::new(move |item| item.signature == tag.as_ref())
        }
        Key::Ed25519(key) => {
            let content = [prefix.bytes.as_slice(), &body.bytes].concat();
            Box::new(move |item| {
                item.scheme == Scheme::V1a && key.verifies(&content, &item.signature)
            })
        }
    };
    // A well-formed item before a flawed one that matches too.
    items
        .iter()
        .filter(matches)
        .min_by_key(|item| item.flaw.is_some())
}

fn describe<'a>(
    trial: &Trial<'a>,
    prefix: &Prefix,
    body: &Rewrite,
    item: &Item,
    evidence: &Evidence<'_>,
) -> Match<'a> {
    let flaw = item.flaw.map(|cause| Mistake {
        cause,
        story: format!(
            "the {} signature is right, but {}",
            item.scheme,
            flaw_story(cause)
        ),
    });
    let previous = (!trial.secret.is_current).then(|| Mistake {
        cause: Cause::PreviousSecret,
        story: format!("the signature was made with \"{}\"", trial.secret.label),
    });
    let rewritten = body.cause.map(|cause| Mistake {
        cause,
        story: format!(
            "the receiver's body {}: it has {} bytes, {} were signed",
            body.story,
            evidence.body.len(),
            body.bytes.len()
        ),
    });
    let mistakes = [
        flaw,
        trial.mistake.clone(),
        previous,
        prefix.mistake.clone(),
        rewritten,
    ];
    Match {
        secret: trial.secret,
        scheme: item.scheme,
        mistakes: mistakes.into_iter().flatten().collect(),
    }
}

pub(super) fn flaw_story(cause: Cause) -> &'static str {
    match cause {
        Cause::SignatureInHex => "it is written in hexadecimal digits",
        Cause::SignatureBase64 => "it is in the URL's base64 or lacks its padding",
        Cause::SignatureWithoutScheme => "nothing before it says v1 or v1a",
        _ => "the list is not separated by single spaces",
    }
}

fn prefixes(evidence: &Evidence<'_>) -> Vec<Prefix> {
    let id = evidence.id.unwrap_or_default();
    let timestamp = evidence.timestamp.unwrap_or_default();
    let mut found = vec![Prefix {
        bytes: format!("{id}.{timestamp}.").into_bytes(),
        mistake: None,
    }];
    let mut add = |bytes: String, what: &str| {
        found.push(Prefix {
            bytes: bytes.into_bytes(),
            mistake: Some(Mistake {
                cause: Cause::SignedContent,
                story: format!("{what} was signed, and not id.timestamp.body"),
            }),
        });
    };
    add(String::new(), "the body alone");
    add(format!("{timestamp}."), "timestamp.body");
    add(format!("{timestamp}.{id}."), "timestamp.id.body");
    add(
        format!("{id}.{timestamp}"),
        "the three without the last dot",
    );
    add(format!("{id}{timestamp}"), "the three without dots");
    if timestamp.len() > 10 && timestamp.bytes().all(|digit| digit.is_ascii_digit()) {
        let seconds = &timestamp[..10];
        add(
            format!("{id}.{seconds}."),
            "the timestamp in seconds (the header has it finer)",
        );
    }
    found
}

fn trials<'a>(secret: &KnownSecret<'a>) -> Vec<Trial<'a>> {
    let text = secret.text.trim();
    if let Some(key) = verifying_key(text) {
        return vec![Trial {
            secret: *secret,
            key: Key::Ed25519(key),
            mistake: None,
        }];
    }
    let encoded = text.strip_prefix(Secret::PREFIX).unwrap_or(text);
    let mut found = Vec::new();
    let mut add = |bytes: &[u8], mistake: Option<(Cause, &str)>| {
        found.push(Trial {
            secret: *secret,
            key: Key::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, bytes))),
            mistake: mistake.map(|(cause, what)| Mistake {
                cause,
                story: format!(
                    "the signature was made with {what} of \"{}\" as the key",
                    secret.label
                ),
            }),
        });
    };
    match STANDARD.decode(encoded) {
        Ok(bytes) => add(&bytes, None),
        Err(_) if encoded.is_empty() => return found,
        Err(_) => {}
    }
    let whole = format!("{}{encoded}", Secret::PREFIX);
    add(
        whole.as_bytes(),
        Some((Cause::SecretTextAsKey, "the text whsec_…")),
    );
    add(
        encoded.as_bytes(),
        Some((Cause::SecretBase64AsKey, "the base64 text, not decoded,")),
    );
    found
}

/// The verifying half of a `whpk_` or `whsk_` text.
pub(super) fn verifying_key(text: &str) -> Option<VerifyingKey> {
    let signing = || text.parse::<SigningKey>().map(|key| key.verifying_key());
    text.parse().or_else(|_| signing()).ok()
}
