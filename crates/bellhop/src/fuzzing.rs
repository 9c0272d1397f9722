//! What the fuzz targets of `fuzz/` run, and what must hold for every input. In no normal build: behind the feature
//! `fuzzing`, and in tests, which run each target over its corpus.

use std::time::Duration;

use bellhop_webhook::{
    Evidence, KnownSecret, Secret, SignatureHeaders, Signer, SigningKey, Verifier, explain,
};
use jiff::Timestamp;

use crate::delivery::{
    egress::{EgressPolicy, Network},
    sender::parse_retry_after,
};

pub use crate::api::fuzzing::bodies;

/// A target, by name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 4] = [
    ("bodies", bodies),
    ("retry_after", retry_after),
    ("signature", signature),
    ("url", url),
];

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: i64 = 1_700_000_000;

/// The guard's judgement of a webhook's URL. What it accepts it accepts again, as it has written it; without a network that
/// is allowed it is https, and an address in it is a public one.
pub fn url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let loopback: Network = "127.0.0.0/8".parse().expect("a network");
    for policy in [
        EgressPolicy::allowing([]),
        EgressPolicy::allowing([loopback]),
    ] {
        let Ok(target) = policy.judge_url(text) else {
            continue;
        };
        let again = policy.judge_url(target.as_str());
        let again = again.expect("what was accepted is accepted as it was written");
        assert_eq!(again.as_str(), target.as_str());
        assert_eq!(again.origin(), target.origin());
        let url = url::Url::parse(target.as_str()).expect("a URL");
        assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
        let address = match url.host().expect("a host") {
            url::Host::Ipv4(address) => Some(address.into()),
            url::Host::Ipv6(address) => Some(address.into()),
            url::Host::Domain(_) => None,
        };
        if let Some(address) = address {
            policy
                .judge_addr(address)
                .expect("an address that may be reached");
        }
        assert!(url.scheme() == "https" || !policy.allow.is_empty());
        // It is shown without what may be a secret. The same text may be in the path, which is shown.
        let query = url.query().unwrap_or_default();
        let asked = format!("?{query}");
        assert!(query.len() < 8 || !target.masked().contains(&asked));
    }
}

/// The headers of a signed request, as a receiver reads them: id, timestamp and signatures, with line feeds between, and
/// the body behind. What verifies was signed with the secret, and the explanation agrees.
pub fn signature(bytes: &[u8]) {
    let mut parts = bytes.splitn(4, |byte| *byte == b'\n');
    let mut text = || std::str::from_utf8(parts.next().unwrap_or_default());
    let (Ok(id), Ok(timestamp), Ok(signature)) = (text(), text(), text()) else {
        return;
    };
    let body = parts.next().unwrap_or_default();
    let secret: Secret = SECRET.parse().expect("a secret");
    let key = SigningKey::from_seed([7; 32]);
    let public = key.verifying_key();
    let verifier = Verifier::new(vec![secret.clone()], vec![public]);
    let headers = SignatureHeaders {
        id,
        timestamp,
        signature,
    };
    let verified = verifier.verify(&headers, body, NOW, 300);
    let own = Signer::new(vec![secret], vec![key]);
    if let Ok(verified) = verified {
        assert!(NOW.abs_diff(verified.timestamp) <= 300);
        // Nobody but who has the secret can make one: the fuzzer has not.
        let signed = own.sign(id, verified.timestamp, body);
        let is_ours = signature
            .split(' ')
            .any(|item| signed.split(' ').any(|ours| ours == item));
        assert!(is_ours || timestamp != verified.timestamp.to_string());
    }
    let signed = own.sign(id, NOW, body);
    let headers = SignatureHeaders {
        id,
        timestamp: &NOW.to_string(),
        signature: &signed,
    };
    assert_eq!(
        verifier.verify(&headers, body, NOW, 300).is_ok(),
        !id.is_empty()
    );
    let known = [KnownSecret {
        label: "the secret",
        text: SECRET,
        is_current: true,
    }];
    let explained = explain(&Evidence {
        id: Some(id),
        timestamp: Some(timestamp),
        signature: Some(signature),
        body,
        secrets: &known,
        now: NOW,
        tolerance_seconds: 300,
    });
    assert!(!explained.steps.is_empty());
}

/// `Retry-After` headers, with line feeds between. No wait is longer than a day, and none is shorter than the seconds that
/// were asked for.
pub fn retry_after(bytes: &[u8]) {
    const LONGEST: Duration = Duration::from_hours(24);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let values: Vec<&str> = text.split('\n').collect();
    let now = Timestamp::from_second(NOW).expect("a moment");
    let wait = parse_retry_after(&values, now);
    assert!(wait.is_none_or(|wait| wait <= LONGEST));
    for value in values {
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        if let (true, Ok(seconds)) = (is_number, value.parse()) {
            assert!(wait >= Some(LONGEST.min(Duration::from_secs(seconds))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// What the fuzzer begins with, and what it once found: all of it, each time.
    #[test]
    fn every_target_holds_over_its_corpus() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
            let inputs: Vec<_> = fs::read_dir(folder.join(name))
                .unwrap_or_else(|error| panic!("fuzz/corpus/{name}: {error}"))
                .map(|entry| entry.unwrap().path())
                .collect();
            assert!(inputs.len() >= 10, "fuzz/corpus/{name} is thin");
            for input in inputs {
                // Said first: a panic does not say which it was.
                println!("{}", input.display());
                target(&fs::read(&input).unwrap());
            }
        }
    }

    #[test]
    fn every_target_has_its_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for (name, _) in TARGETS {
            let program = fs::read_to_string(folder.join(format!("targets/{name}.rs"))).unwrap();
            assert!(program.contains(&format!("fuzzing::{name}(")), "{name}");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }
}
