//! A request as people have it, pasted, and why its signatures do or do not verify.

use bellhop_webhook::{
    Cause, Evidence, Explanation, HEADER_ID, HEADER_SIGNATURE, HEADER_SIGNATURE_INPUT,
    HEADER_TIMESTAMP, HttpRequest, HttpVerified, HttpVerifier, HttpVerifyError, KnownSecret,
    Secret, Step, Verdict, VerifyingKey, explain,
};
use url::Url;

use crate::domain::secret_text::SecretText;

/// A secret or key, and what it is called.
#[derive(Debug, Clone)]
pub struct GivenSecret {
    /// A name for people. Never the secret.
    pub label: String,
    /// `whsec_...` or `whpk_...`.
    pub text: SecretText,
    /// Whether it is in force; another one is only recognised.
    pub is_current: bool,
}

/// A request as people have it: the lines of its head.
#[derive(Debug, Default)]
pub struct RequestHead {
    method: Option<String>,
    /// Path and query.
    target: Option<String>,
    headers: Vec<(String, String)>,
}

/// When it is, and how far a signature may be from it, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// When it is.
    pub now: i64,
    /// How far from it.
    pub tolerance_seconds: u64,
}

impl RequestHead {
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

    /// Says what a header is, in place of what was pasted.
    pub fn set(&mut self, name: &str, value: &str) {
        self.headers
            .retain(|(each, _)| !each.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Whether there is anything to verify.
    pub fn is_empty(&self) -> bool {
        let names = [HEADER_ID, HEADER_TIMESTAMP, HEADER_SIGNATURE];
        !self.is_signed() && names.iter().all(|name| self.header(name).is_none())
    }

    /// Whether the request is signed as an HTTP message.
    pub fn is_signed(&self) -> bool {
        self.header(HEADER_SIGNATURE_INPUT).is_some()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .rfind(|(each, _)| each.eq_ignore_ascii_case(name));
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
        let current = || secrets.iter().filter(|given| given.is_current);
        let texts = || current().map(|given| given.text.expose());
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
    fn explain(
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

/// Says why a request does or does not verify. `url` is the webhook's, where the head does not tell it.
pub fn explain_request(
    head: &RequestHead,
    url: Option<&Url>,
    body: &[u8],
    secrets: &[GivenSecret],
    when: When,
) -> Explanation {
    let known: Vec<_> = secrets
        .iter()
        .map(|given| KnownSecret {
            label: &given.label,
            text: given.text.expose(),
            is_current: given.is_current,
        })
        .collect();
    let is_message = head.is_signed();
    // One that is signed as a message alone lacks nothing.
    let has_list = !is_message || head.header(HEADER_SIGNATURE).is_some();
    let standard = has_list.then(|| {
        explain(&Evidence {
            id: head.header(HEADER_ID),
            timestamp: head.header(HEADER_TIMESTAMP),
            signature: head.header(HEADER_SIGNATURE),
            body,
            secrets: &known,
            now: when.now,
            tolerance_seconds: when.tolerance_seconds,
        })
    });
    match standard {
        Some(standard) if !is_message => standard,
        standard => head.explain(standard, url, body, secrets, when),
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
            "Set the clock, or say at which moment the request came (--now).",
        ),
        HttpVerifyError::Age(_) | HttpVerifyError::NoTime | HttpVerifyError::Expired => (
            Cause::TimestampTooOld,
            "Say at which moment the request came (--now).",
        ),
        HttpVerifyError::Digest => (
            Cause::NoMatch,
            "Keep the body's bytes as they came, before anything parses them.",
        ),
        _ => (
            Cause::NoMatch,
            "Give the webhook's URL (--url): host, path and query are signed, and a proxy may have changed them.",
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

    const NOW: i64 = 1_614_265_330;
    const BODY: &[u8] = b"{}";

    fn secrets() -> Vec<GivenSecret> {
        vec![GivenSecret {
            label: "the secret".into(),
            text: SecretText::new(Secret::from([7; 32]).expose()),
            is_current: true,
        }]
    }

    #[test]
    fn headers_are_found_in_what_people_paste() {
        for text in [
            "webhook-id: msg_1\nwebhook-timestamp: 12\nwebhook-signature: v1,x= v1a,y=\n",
            "POST /in HTTP/1.1\r\nHost: a:80\r\nWebhook-Id:msg_1\r\nWEBHOOK-TIMESTAMP: 12 \r\nWebhook-Signature: v1,x= v1a,y=\r\n\r\n",
            "> webhook-id: msg_1\n> webhook-timestamp: 12\n> webhook-signature: v1,x= v1a,y=\n>",
        ] {
            let head = RequestHead::parse(text);
            assert_eq!(head.header(HEADER_ID), Some("msg_1"));
            assert_eq!(head.header(HEADER_TIMESTAMP), Some("12"));
            assert_eq!(head.header(HEADER_SIGNATURE), Some("v1,x= v1a,y="));
            assert!(!head.is_empty() && !head.is_signed());
        }
        assert!(RequestHead::parse("content-type: text/plain").is_empty());
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
        let head = RequestHead::parse(text);
        assert!(head.is_signed());
        let told = explain_request(&head, url.as_ref(), body, &secrets(), when);
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
