//! Why an attempt failed: a closed set of causes, the same words in API, UI, metrics and store.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Makes the enum and its texts from one table, so that a cause cannot exist without its explanation.
macro_rules! causes {
    ($($variant:ident, $code:literal, $title:literal, $next_step:literal;)+) => {
        /// Why an attempt failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Cause {
            $(#[doc = $title] $variant,)+
        }

        impl Cause {
            /// Every cause, in the order in which an attempt meets them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable name, as in API, metrics and store: `connect_refused`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// What it means, in a sentence for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// What to do about it, in a sentence for people.
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$variant => $next_step,)+ }
            }
        }
    };
}

causes! {
    UrlRefused, "url_refused",
        "The webhook's URL is not one that Bellhop may send to.",
        "Set another URL for the webhook; the detail says what is wrong with this one.";
    DnsNotFound, "dns_not_found",
        "The host name in the webhook's URL does not exist, or has no address.",
        "Correct the host name, or publish an A or AAAA record for it.";
    DnsFailed, "dns_failed",
        "The name servers could not tell the address of the webhook's host.",
        "Check that the host's name servers answer without an error; the attempt is made again by itself.";
    DnsTimeout, "dns_timeout",
        "The name servers did not tell the address of the webhook's host in time.",
        "Check that the host's name servers are reachable; the attempt is made again by itself.";
    DnsRefusedAddress, "dns_refused_address",
        "The webhook's host name leads to an address that is not on the public internet.",
        "Publish only public addresses for the host, or let the operator allow the network in BELLHOP_EGRESS_ALLOW.";
    PlainHttpRefused, "plain_http_refused",
        "The webhook's URL is plain http, and its host is not inside a network that allows it.",
        "Use an https URL, or let the operator allow the network in BELLHOP_EGRESS_ALLOW.";
    ConnectRefused, "connect_refused",
        "Nothing listens at the webhook's address and port.",
        "Start the receiver, and check the port in the webhook's URL.";
    ConnectTimeout, "connect_timeout",
        "The webhook's host did not answer the connection in time.",
        "Check that the receiver runs and that its firewall lets Bellhop in.";
    ConnectUnreachable, "connect_unreachable",
        "There is no route to the webhook's address.",
        "Check the host's DNS records and the network between here and there.";
    ConnectFailed, "connect_failed",
        "The connection to the webhook's host could not be made.",
        "Check the receiver and the network in front of it; the detail says what happened.";
    TlsCertificateExpired, "tls_certificate_expired",
        "The receiver's TLS certificate has expired.",
        "Renew the certificate at the receiver.";
    TlsCertificateNotYetValid, "tls_certificate_not_yet_valid",
        "The receiver's TLS certificate is not valid yet.",
        "Install a certificate that is valid now, and check the clocks on both sides.";
    TlsWrongHost, "tls_wrong_host",
        "The receiver's TLS certificate is for another host name.",
        "Install a certificate for the host in the webhook's URL, or correct the URL.";
    TlsUntrusted, "tls_untrusted",
        "The receiver's TLS certificate is not signed by an authority that Bellhop trusts.",
        "Install a certificate of a public authority, together with its intermediate certificates.";
    TlsTimeout, "tls_timeout",
        "The receiver took the connection and did not finish the TLS handshake in time.",
        "Check that the receiver's port speaks TLS and that the receiver is not overloaded.";
    TlsFailed, "tls_failed",
        "No TLS connection to the receiver could be agreed.",
        "Let the receiver offer TLS 1.2 or 1.3 on this port; the detail says what happened.";
    TlsClientCertificate, "tls_client_certificate",
        "The receiver refused the webhook's client certificate, or wants one and was shown none.",
        "Set ClientCertificate of the webhook to a certificate that is valid and that the receiver trusts, with its intermediate certificates.";
    Reset, "reset",
        "The receiver reset the connection before it answered.",
        "Look in the receiver's log, and in that of any proxy before it, for the time of this attempt.";
    ClosedEarly, "closed_early",
        "The receiver closed the connection before it answered.",
        "Look in the receiver's log, and in that of any proxy before it, for the time of this attempt.";
    Timeout, "timeout",
        "The receiver did not answer in time.",
        "Let the receiver answer first and work later, or raise the webhook's time-out.";
    ProtocolError, "protocol_error",
        "What the receiver answered is not a valid HTTP response.",
        "Check that the URL's port belongs to an HTTP/1.1 server; the detail says what was wrong.";
    ResponseTooLarge, "response_too_large",
        "The receiver's answer is larger than Bellhop reads.",
        "Let the receiver answer with a short body, or with none.";
    RedirectRefused, "redirect_refused",
        "The receiver answered with a redirect that is not followed.",
        "Set the webhook's URL to the final address. With FollowRedirects, 307 and 308 are followed within the same origin.";
    Gone, "gone",
        "The receiver answered 410 Gone, which switches the webhook off.",
        "Enable the webhook again when the receiver wants messages; what was held is then sent in order.";
    RateLimited, "rate_limited",
        "The receiver asked for fewer requests (429).",
        "Lower the webhook's rate limit, or raise the limit at the receiver; the attempt is made again by itself.";
    ClientError, "client_error",
        "The receiver refused the request with a 4xx status.",
        "Look at the response; most often the path, the receiver's authentication or its signature check is wrong.";
    Unavailable, "unavailable",
        "The receiver is unavailable for now (503).",
        "Wait, or bring the receiver back; the attempt is made again by itself.";
    ServerError, "server_error",
        "The receiver failed with a 5xx status.",
        "Look in the receiver's log for this webhook-id; the attempt is made again by itself.";
    MailDeferred, "mail_deferred",
        "The mail server could not take the operator's message for now (a 4xx reply).",
        "Look at the detail, and in the mail server's log; the attempt is made again by itself.";
    MailRejected, "mail_rejected",
        "The mail server refused the operator's message (a 5xx reply).",
        "Check the user and password in smtp_url, smtp_from and smtp_to; the attempt is made again by itself.";
    OauthTokenRefused, "oauth_token_refused",
        "The OAuth token endpoint issued no token that can be used.",
        "Check TokenUrl, ClientId, ClientSecret, Scope and AuthStyle in the webhook's Authentication; the detail says what was answered.";
    OauthTokenUnavailable, "oauth_token_unavailable",
        "The OAuth token endpoint could not be reached, or failed.",
        "Check that TokenUrl in the webhook's Authentication is right and its server runs; the detail says what happened, and the attempt is made again by itself.";
    Erased, "erased",
        "The message's body was erased: it carried an access token, and every delivery of it had ended.",
        "Regenerate the integration's access token to tell the receiver a new one.";
    Internal, "internal",
        "Bellhop itself could not make the attempt.",
        "The operator finds the reason in Bellhop's log; the attempt is made again by itself.";
}

impl Cause {
    /// Whether Bellhop, or the machine it runs on, is at fault rather than the receiver's side. Only these page
    /// the operator.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Internal)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a cause; see the list of causes in the documentation of deliveries")]
pub struct UnknownCause(pub String);

impl FromStr for Cause {
    type Err = UnknownCause;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|cause| cause.as_str() == text);
        known
            .copied()
            .ok_or_else(|| UnknownCause(text.chars().take(64).collect()))
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_parse_back() {
        let names: HashSet<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        assert_eq!(names.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            assert_eq!(cause.as_str().parse::<Cause>(), Ok(*cause));
            let json = serde_json::to_string(cause).unwrap();
            assert_eq!(json, format!("\"{cause}\""));
            assert_eq!(serde_json::from_str::<Cause>(&json).unwrap(), *cause);
        }
        assert!("no_such_cause".parse::<Cause>().is_err());
        assert!(serde_json::from_str::<Cause>("\"Timeout\"").is_err());
    }

    #[test]
    fn every_cause_explains_itself() {
        for cause in Cause::ALL {
            for text in [cause.title(), cause.next_step()] {
                assert!(text.len() > 20 && text.ends_with('.'), "{cause}: {text}");
            }
        }
        assert!(Cause::ALL.len() >= 20);
    }
}
