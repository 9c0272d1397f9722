//! HTTP message signatures (RFC 9421), as `bellhop verify` judges them: by what was pasted of a request.

use bellhop_webhook::{
    Cause, Explanation, HEADER_SIGNATURE_INPUT, HttpRequest, HttpVerified, HttpVerifier,
    HttpVerifyError, Secret, Step, Verdict, VerifyingKey,
};
use url::Url;

use super::secret_input::GivenSecret;

/// A request as people have it: the lines of its head.
#[derive(Debug, Default)]
pub struct Head {
    method: Option<String>,
    /// Path and query.
    target: Option<String>,
    headers: Vec<(String, String)>,
}

/// When it is, and how far a signature may be from it, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct When {
    pub now: i64,
    pub tolerance_seconds: u64,
}

impl Head {
    /// Reads a request line, if there is one, and lines `name: value`, with or without the `>` that curl puts before them.
    pub fn parse(text: &str) -> Self {
        let mut head = Self::default();
        for line in text.lines() {
            let line = line.trim_start_matches(['>', '<', ' ']).trim_end();
            let mut words = line.split(' ');
            if let (Some(method), Some(target), Some(version), None) =
                (words.next(), words.next(), words.next(), words.next())
                && version.starts_with("HTTP/")
            {
                head.method = Some(method.to_owned());
                head.target = Some(target.to_owned());
            } else if let Some((name, value)) = line.split_once(':') {
                head.headers
                    .push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        head
    }

    /// Whether the request is signed as an HTTP message.
    pub fn is_signed(&self) -> bool {
        self.header(HEADER_SIGNATURE_INPUT).is_some()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(each, _)| each.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    /// Verifies it by the secrets and keys. `url` is the webhook's, where the head does not tell it.
    fn verify(
        &self,
        url: Option<&Url>,
        body: &[u8],
        secrets: &[GivenSecret],
        when: When,
    ) -> Result<HttpVerified, HttpVerifyError> {
        let texts = || secrets.iter().map(|given| given.text.expose());
        let shared: Vec<Secret> = texts().filter_map(|text| text.parse().ok()).collect();
        let keys: Vec<VerifyingKey> = texts().filter_map(|text| text.parse().ok()).collect();
        let authority = url.map_or_else(
            || self.header("host").unwrap_or_default().to_owned(),
            |url| url.authority().to_owned(),
        );
        let (path, query) = match (url, &self.target) {
            (Some(url), _) => (url.path(), url.query()),
            (None, Some(target)) => match target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (&**target, None),
            },
            (None, None) => ("", None),
        };
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let request = HttpRequest {
            method: self.method.as_deref().unwrap_or("POST"),
            authority: &authority,
            path,
            query,
            headers: &headers,
        };
        HttpVerifier::new(shared, keys).verify(&request, body, when.now, when.tolerance_seconds)
    }

    /// Adds what the HTTP message signatures come to. `explanation` is that of `webhook-signature`, if the request has it.
    pub fn explain(
        &self,
        explanation: Option<Explanation>,
        url: Option<&Url>,
        body: &[u8],
        secrets: &[GivenSecret],
        when: When,
    ) -> Explanation {
        let verified = self.verify(url, body, secrets, when);
        let step = Step {
            check: "HTTP message signature",
            ok: verified.is_ok(),
            detail: match &verified {
                Ok(found) => format!(
                    "{} with the key {}, made {} s ago",
                    found.algorithm,
                    found.key_id,
                    when.now - found.created
                ),
                Err(error) => error.to_string(),
            },
        };
        let mut explanation = explanation.unwrap_or_else(|| Explanation {
            steps: Vec::new(),
            verdict: verified_verdict(),
        });
        explanation.steps.push(step);
        if let Err(error) = verified
            && explanation.verdict.verified
        {
            explanation.verdict = verdict(&error);
        }
        explanation
    }
}

fn verified_verdict() -> Verdict {
    Verdict {
        verified: true,
        cause: Cause::Verified,
        summary: "The HTTP message signature is right, and the body is the one that was sent."
            .into(),
        next_step: "Do what the message says.".into(),
    }
}

fn verdict(error: &HttpVerifyError) -> Verdict {
    let (cause, next_step) = match error {
        HttpVerifyError::Missing(_) => (
            Cause::HeaderMissing,
            "Give all headers of the request, signature-input, signature and content-digest among them.",
        ),
        HttpVerifyError::NoSignature => (
            Cause::SignatureScheme,
            "Give the secret (whsec_) or the public key (whpk_) of this webhook; keyid in signature-input names it.",
        ),
        HttpVerifyError::Age(bellhop_webhook::VerifyError::TooNew { .. }) => (
            Cause::TimestampInFuture,
            "Set the clock, or give the moment with --now.",
        ),
        HttpVerifyError::Age(_) | HttpVerifyError::NoTime | HttpVerifyError::Expired => (
            Cause::TimestampTooOld,
            "Give the moment at which the request came with --now.",
        ),
        HttpVerifyError::Digest => (
            Cause::NoMatch,
            "Keep the body's bytes as they came, before anything parses them.",
        ),
        _ => (
            Cause::NoMatch,
            "Give the webhook's URL with --url: host, path and query are signed, and a proxy may have changed them.",
        ),
    };
    Verdict {
        verified: false,
        cause,
        summary: format!("The request does not verify as an HTTP message: {error}."),
        next_step: next_step.into(),
    }
}

#[cfg(test)]
mod tests {
    use bellhop_webhook::{HttpSigner, MessageRequest};

    use super::*;
    use crate::domain::secret_text::SecretText;

    const NOW: i64 = 1_614_265_330;
    const BODY: &[u8] = b"{}";

    fn secrets() -> Vec<GivenSecret> {
        vec![GivenSecret {
            label: "the secret".into(),
            text: SecretText::new(Secret::from([7; 32]).expose()),
        }]
    }

    /// As curl prints it.
    fn pasted(first: &str) -> String {
        let signed = HttpSigner::new(vec![Secret::from([7; 32])], vec![]).sign(&MessageRequest {
            authority: "hooks.example.com",
            path: "/in",
            query: Some("a=1"),
            content_type: "application/json",
            id: "msg_1",
            timestamp: NOW,
            body: BODY,
        });
        format!(
            "{first}> Host: hooks.example.com\r\n> Content-Type: application/json\r\n> Webhook-Id: msg_1\r\n\
             > Webhook-Timestamp: {NOW}\r\n> Content-Digest: {}\r\n> Signature-Input: {}\r\n> Signature: {}\r\n",
            signed.content_digest, signed.input, signed.signature
        )
    }

    fn verdict_of(text: &str, url: Option<&str>, body: &[u8]) -> (bool, Cause) {
        let url = url.map(|url| Url::parse(url).unwrap());
        let when = When {
            now: NOW + 1,
            tolerance_seconds: 300,
        };
        let head = Head::parse(text);
        assert!(head.is_signed());
        let told = head.explain(None, url.as_ref(), body, &secrets(), when);
        assert_eq!(told.steps.len(), 1);
        (told.verdict.verified, told.verdict.cause)
    }

    #[test]
    fn what_people_paste_verifies() {
        let line = "> POST /in?a=1 HTTP/1.1\r\n";
        assert_eq!(
            verdict_of(&pasted(line), None, BODY),
            (true, Cause::Verified)
        );
        // Behind a proxy: the URL says what was signed.
        let url = Some("https://hooks.example.com/in?a=1");
        assert_eq!(verdict_of(&pasted(""), url, BODY), (true, Cause::Verified));
        let other = "> POST /rewritten HTTP/1.1\r\n";
        assert_eq!(
            verdict_of(&pasted(other), url, BODY),
            (true, Cause::Verified)
        );
        assert_eq!(
            verdict_of(&pasted(other), None, BODY),
            (false, Cause::NoMatch)
        );
        assert_eq!(
            verdict_of(&pasted(line), None, b"{ }"),
            (false, Cause::NoMatch)
        );
        let cut = pasted(line).replace("> Signature: ", "> X: ");
        assert_eq!(verdict_of(&cut, None, BODY), (false, Cause::HeaderMissing));
    }
}
