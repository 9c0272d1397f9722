//! Takes secrets out of what a receiver sent back: receivers echo what they were sent, error pages above all.

/// What stands in place of a secret.
const REDACTED: &[u8] = b"[redacted]";
/// What is shorter occurs by chance, and is no secret.
const SHORTEST_SECRET: usize = 4;
/// So many of a secret's bytes at the very end of what was received are taken for its beginning.
const SHORTEST_BEGINNING: usize = 8;
/// The longest form of one byte that is recognised: `\u002f`, `&#x2f;`.
const LONGEST_FORM: usize = 6;

/// Replaces every occurrence of a secret by `[redacted]`: as it is, in other case, JSON-escaped, percent-encoded, or
/// with HTML's character references. A beginning of a secret at the very end is replaced too.
pub fn scrub(body: &[u8], secrets: &[&[u8]]) -> Vec<u8> {
    Scrubber::new(secrets.iter().copied()).scrub(body, usize::MAX)
}

/// Finds the secrets of one exchange.
#[derive(Debug)]
pub struct Scrubber<'a> {
    secrets: Vec<&'a [u8]>,
    /// The bytes with which an occurrence can begin. Most of a response is passed over by a look at this.
    begins: [bool; 256],
}

impl<'a> Scrubber<'a> {
    pub fn new(secrets: impl Iterator<Item = &'a [u8]>) -> Self {
        let secrets: Vec<&[u8]> = secrets
            .filter(|secret| secret.len() >= SHORTEST_SECRET)
            .collect();
        let mut begins = [false; 256];
        for secret in &secrets {
            for byte in [
                secret[0].to_ascii_lowercase(),
                secret[0].to_ascii_uppercase(),
                b'%',
                b'\\',
                b'&',
                b'+',
            ] {
                begins[usize::from(byte)] = true;
            }
        }
        Self { secrets, begins }
    }

    /// How many bytes must be at hand to scrub the first `kept` of them.
    pub fn window(&self, kept: usize) -> usize {
        let longest = self
            .secrets
            .iter()
            .map(|secret| secret.len())
            .max()
            .unwrap_or(0);
        kept.saturating_add(longest.saturating_mul(LONGEST_FORM))
    }

    /// Whether there is nothing to replace.
    pub fn is_clean(&self, received: &[u8]) -> bool {
        self.find(received, 0, received.len()).is_none()
    }

    /// Scrubs the first `kept` bytes, looking at those after them so that a secret which the limit cuts is found. The
    /// result is never longer than `kept`.
    pub fn scrub(&self, received: &[u8], kept: usize) -> Vec<u8> {
        let end = received.len().min(kept);
        let mut clean = Vec::with_capacity(end);
        let mut at = 0;
        while let Some((found, length)) = self.find(received, at, end) {
            clean.extend_from_slice(&received[at..found]);
            clean.extend_from_slice(REDACTED);
            at = found + length;
        }
        clean.extend_from_slice(received.get(at..end).unwrap_or_default());
        clean.truncate(kept);
        clean
    }

    /// Where the next secret that begins in `from..end` begins, and its length.
    fn find(&self, received: &[u8], from: usize, end: usize) -> Option<(usize, usize)> {
        (from..end)
            .filter(|at| self.begins[usize::from(received[*at])])
            .find_map(|at| Some((at, find_longest(&received[at..], &self.secrets)?)))
    }
}

/// The length in `text` of the longest secret that begins there.
fn find_longest(text: &[u8], secrets: &[&[u8]]) -> Option<usize> {
    let forms = [Form::Plain, Form::Encoded];
    let matches = secrets
        .iter()
        .flat_map(|secret| forms.iter().map(|form| length_of(text, secret, *form)));
    matches.flatten().max()
}

/// Which reading is tried first where both are possible: a secret may itself contain `%`, `\` or `&`.
#[derive(Clone, Copy)]
enum Form {
    Plain,
    Encoded,
}

fn length_of(text: &[u8], secret: &[u8], first: Form) -> Option<usize> {
    let mut at = 0;
    for (matched, wanted) in secret.iter().enumerate() {
        let rest = &text[at..];
        if rest.is_empty() {
            return (matched >= SHORTEST_BEGINNING).then_some(at);
        }
        let plain = || rest[0].eq_ignore_ascii_case(wanted).then_some(1);
        let encoded = || {
            decode(rest)
                .and_then(|(byte, length)| byte.eq_ignore_ascii_case(wanted).then_some(length))
        };
        at += match first {
            Form::Plain => plain().or_else(encoded)?,
            Form::Encoded => encoded().or_else(plain)?,
        };
    }
    Some(at)
}

/// The byte that an escape at the beginning of `text` stands for, and the escape's length.
fn decode(text: &[u8]) -> Option<(u8, usize)> {
    match *text {
        [b'%', high, low, ..] => Some((hex(high, low)?, 3)),
        [b'\\', b'u', b'0', b'0', high, low, ..] => Some((hex(high, low)?, 6)),
        [b'\\', letter, ..] => {
            let byte = match letter {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'"' | b'\\' | b'/' | b'\'' => letter,
                _ => return None,
            };
            Some((byte, 2))
        }
        [b'+', ..] => Some((b' ', 1)),
        [b'&', ref rest @ ..] => decode_reference(rest),
        _ => None,
    }
}

/// HTML's character references for ASCII.
fn decode_reference(rest: &[u8]) -> Option<(u8, usize)> {
    let length = rest
        .iter()
        .take(LONGEST_FORM)
        .position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&rest[..length]).ok()?;
    let byte = match name {
        "amp" => b'&',
        "lt" => b'<',
        "gt" => b'>',
        "quot" => b'"',
        "apos" => b'\'',
        _ => {
            let number = name.strip_prefix('#')?;
            match number.strip_prefix(['x', 'X']) {
                Some(digits) => u8::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            }
        }
    };
    Some((byte, length + 2))
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    Some((value(high)? * 16 + value(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrubbed(body: &str, secrets: &[&str]) -> String {
        let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.as_bytes()).collect();
        String::from_utf8(scrub(body.as_bytes(), &secrets)).unwrap()
    }

    #[test]
    fn finds_every_form() {
        let token = "9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF";
        for echoed in [
            token.to_owned(),
            token.to_lowercase(),
            token.replace('-', "%2D"),
            token.replace('-', "\\u002d"),
            token.replace('-', "&#45;"),
            token.replace('A', "%41").replace('0', "%30"),
        ] {
            assert_eq!(
                scrubbed(&format!("a {echoed} b"), &[token]),
                "a [redacted] b",
                "{echoed}"
            );
        }
        assert_eq!(
            scrubbed(r#"{"k":"p\"a\\ss\/w&amp;d"}"#, &[r#"p"a\ss/w&d"#]),
            r#"{"k":"[redacted]"}"#
        );
        assert_eq!(scrubbed("x=100%25sure&y", &["100%sure"]), "x=[redacted]&y");
        assert_eq!(
            scrubbed("x=100%25sure&y", &["100%25sure"]),
            "x=[redacted]&y"
        );
        assert_eq!(scrubbed("aabcdefgh", &["abcdefgh"]), "a[redacted]");
        assert_eq!(
            scrubbed("secret secret", &["secret"]),
            "[redacted] [redacted]"
        );
    }

    #[test]
    fn leaves_the_rest_alone() {
        assert_eq!(scrubbed("nothing here", &["secret"]), "nothing here");
        assert_eq!(
            scrubbed("abc", &["abc", ""]),
            "abc",
            "too short for a secret"
        );
        assert_eq!(
            scrubbed("100% \\ & %zz \\u00 &; &#; &#x; end", &["secret"]),
            "100% \\ & %zz \\u00 &; &#; &#x; end"
        );
    }

    #[test]
    fn finds_what_the_limit_cuts() {
        let secret: &[u8] = b"0123456789abcdef";
        let body = [b"xxxx".as_slice(), secret, b"yyyy"].concat();
        let scrubber = Scrubber::new([secret].into_iter());
        for kept in 0..body.len() {
            let clean = scrubber.scrub(&body[..body.len().min(scrubber.window(kept))], kept);
            assert!(clean.len() <= kept);
            assert!(!clean.windows(2).any(|pair| pair == b"01"), "{kept}");
        }
        assert_eq!(
            scrub(&body[..4 + 10], &[secret]),
            b"xxxx[redacted]",
            "cut by the connection"
        );
    }

    proptest! {
        #[test]
        fn no_secret_survives(parts in prop::collection::vec("[a-c%\\\\&;u0-2]{0,12}", 1..6), kept in 0usize..80) {
            let secret = "ab%1c\\u002";
            let body = parts.join(secret);
            let clean = Scrubber::new([secret.as_bytes()].into_iter()).scrub(body.as_bytes(), kept);
            prop_assert!(!clean.windows(secret.len()).any(|window| window == secret.as_bytes()));
            prop_assert!(clean.len() <= kept);
        }
    }
}
