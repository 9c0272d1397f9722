//! The canaries, and where they are looked for.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use aho_corasick::AhoCorasick;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bellhop::random::{SystemRandom, bytes};

use super::echo::Echo;

/// So much of a secret, at its beginning or its end, is a leak as well: a page of a database or a limit may cut it.
const PIECE: usize = 16;

/// Secrets that nobody else has.
#[derive(Default)]
pub struct Canaries(Vec<(&'static str, String)>);

/// What was written or answered, by place.
#[derive(Default)]
pub struct Seen(BTreeMap<&'static str, Vec<u8>>);

impl Canaries {
    /// One that was made elsewhere.
    pub fn add(&mut self, kind: &'static str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(
            secret.len() > PIECE,
            "{kind} is too short to be told from others"
        );
        self.0.push((kind, secret));
    }

    /// A new one: letters and digits only, so that it is the same in a URL, in JSON and in a header.
    pub fn make(&mut self, kind: &'static str) -> String {
        let secret = hex(&bytes::<20>(&SystemRandom));
        self.add(kind, secret.clone());
        secret
    }

    /// A new secret of a webhook, as Standard Webhooks prints it.
    pub fn signing_secret(&mut self) -> String {
        let encoded = STANDARD.encode(bytes::<32>(&SystemRandom));
        self.add("secret of a webhook", encoded.clone());
        format!("whsec_{encoded}")
    }

    /// How the operator is told: these settings are secrets. The webhook fails with an echo, and nobody takes mail.
    pub fn operator_settings(&mut self, echo: &Echo) -> Vec<(&'static str, String)> {
        let url = echo.url(&format!("/fail?{}", self.make("operator's URL")));
        let mail = format!("smtps://bellhop:{}@127.0.0.1:9", self.make("SMTP password"));
        vec![
            ("BELLHOP_OPERATOR_WEBHOOK_URL", url),
            ("BELLHOP_OPERATOR_WEBHOOK_SECRET", self.signing_secret()),
            ("BELLHOP_SMTP_URL", mail),
            ("BELLHOP_SMTP_FROM", "bellhop@example.com".to_owned()),
            ("BELLHOP_SMTP_TO", "operator@example.com".to_owned()),
        ]
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, secret)| secret.as_str())
    }
}

impl Seen {
    /// More from a place.
    pub fn put(&mut self, place: &'static str, bytes: impl AsRef<[u8]>) {
        let all = self.0.entry(place).or_default();
        all.extend_from_slice(bytes.as_ref());
        all.push(b'\n');
    }

    /// Every file below a folder.
    pub fn put_files(&mut self, place: &'static str, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.put_files(place, &path);
            } else {
                self.put(place, fs::read(&path).unwrap());
            }
        }
    }

    /// Each place has something in it.
    pub fn assert_seen(&self) {
        for (place, bytes) in &self.0 {
            assert!(bytes.len() > 100, "there is hardly anything: {place}");
        }
    }

    /// What was found, and where.
    pub fn find(&self, canaries: &Canaries) -> Vec<String> {
        let (mut needles, mut of) = (Vec::new(), Vec::new());
        for (kind, secret) in &canaries.0 {
            for piece in [&secret[..PIECE], &secret[secret.len() - PIECE..]] {
                for form in forms(piece) {
                    needles.push(form);
                    of.push((*kind, secret.as_str()));
                }
            }
        }
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&needles)
            .unwrap();
        let mut found = Vec::new();
        for (place, bytes) in &self.0 {
            let mut last = None;
            for hit in search.find_iter(bytes) {
                let (kind, secret) = of[hit.pattern().as_usize()];
                if last.replace(secret) != Some(secret) {
                    found.push(format!("{place}: {kind} in {}", around(bytes, hit.start())));
                }
            }
        }
        found
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, bytes) in &self.0 {
            write!(f, "{place} {} KiB; ", bytes.len() / 1024)?;
        }
        Ok(())
    }
}

/// How text may be written: as it is, in hex, and in base64, wherever in it the text begins; each in any case. If it is hex
/// itself, as the bytes that it stands for.
pub fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![text.as_bytes().to_vec(), hex(text.as_bytes()).into_bytes()];
    forms.extend(bytes_of_hex(text));
    for before in 0..3 {
        let shifted = [&vec![b'.'; before], text.as_bytes()].concat();
        let encoded = STANDARD.encode(&shifted).into_bytes();
        // Characters with bits of what stands before or after are not those of the text alone.
        let (begin, end) = ((before * 4).div_ceil(3), shifted.len() * 4 / 3);
        forms.push(encoded[begin..end].to_vec());
    }
    forms
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Some of what stands around, for whoever has to find the leak.
fn around(bytes: &[u8], at: usize) -> String {
    let (from, to) = (at.saturating_sub(80), (at + 80).min(bytes.len()));
    String::from_utf8_lossy(&bytes[from..to])
        .chars()
        .map(|c| if c.is_control() { '·' } else { c })
        .collect()
}
