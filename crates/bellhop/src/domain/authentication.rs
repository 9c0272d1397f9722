//! How Bellhop proves itself to a receiver, beside its signatures.

use jiff::{SignedDuration, Timestamp};

use super::secret_text::SecretText;

/// So long before its end a client certificate is told to be near it.
pub const EXPIRING: SignedDuration = SignedDuration::from_hours(30 * 24);
/// And once more so long before.
pub const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What stands in `Authorization` of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// A fixed token (RFC 6750).
    Bearer {
        /// The token.
        token: SecretText,
    },
    /// A user and a password (RFC 7617).
    Basic {
        /// Without a colon.
        username: String,
        /// The password.
        password: SecretText,
    },
    /// A token that is fetched, kept while it is valid, and fetched again (RFC 6749 section 4.4).
    OAuth2(OAuth2Client),
}

/// The client of an authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2Client {
    /// Where tokens are issued. Its query may be a secret.
    pub token_url: SecretText,
    /// Who we are there.
    pub client_id: String,
    /// What proves it.
    pub client_secret: SecretText,
    /// What the token is to be good for, if it must be said.
    pub scope: Option<String>,
    /// Where id and secret stand.
    pub style: AuthStyle,
}

/// Where an authorization server wants a client's id and secret (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthStyle {
    /// In `Authorization`, as user and password.
    Header,
    /// In the form.
    Body,
}

/// The certificate that is shown to a receiver in the TLS handshake, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those that lead to its authority, PEM.
    pub chain: String,
    /// Its private key, PEM.
    pub key: SecretText,
    /// Whom it names.
    pub subject: String,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
}

/// How a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// For longer than [`EXPIRING`].
    Valid,
    /// Not for long: a new one is wanted.
    Expiring,
    /// No more.
    Expired,
}

/// How near the end of a certificate is, where it is told: once at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateEnd {
    /// Within [`EXPIRING`].
    Month,
    /// Within [`SOON`].
    Week,
    /// It is over.
    Past,
}

impl Authentication {
    /// Its kind, as the API spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bearer { .. } => "Bearer",
            Self::Basic { .. } => "Basic",
            Self::OAuth2(_) => "OAuth2ClientCredentials",
        }
    }
}

impl AuthStyle {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Header, Self::Body];

    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "Header",
            Self::Body => "Body",
        }
    }
}

impl ClientCertificate {
    /// How it stands at this moment.
    pub fn validity(&self, now: Timestamp) -> Validity {
        let left = self.not_after.duration_since(now);
        if left.is_negative() {
            Validity::Expired
        } else if left < EXPIRING {
            Validity::Expiring
        } else {
            Validity::Valid
        }
    }
}

impl ClientCertificate {
    /// How near its end is; `None` while it is valid for longer.
    pub fn end(&self, now: Timestamp) -> Option<CertificateEnd> {
        match self.validity(now) {
            Validity::Valid => None,
            Validity::Expiring if self.not_after.duration_since(now) < SOON => {
                Some(CertificateEnd::Week)
            }
            Validity::Expiring => Some(CertificateEnd::Month),
            Validity::Expired => Some(CertificateEnd::Past),
        }
    }
}

impl Validity {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "Valid",
            Self::Expiring => "Expiring",
            Self::Expired => "Expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_told_a_month_before() {
        let not_after: Timestamp = "2026-03-31T00:00:00Z".parse().unwrap();
        let certificate = ClientCertificate {
            chain: String::new(),
            key: SecretText::new("k"),
            subject: String::new(),
            not_after,
            fingerprint: String::new(),
        };
        for (now, validity) in [
            ("2026-02-28T23:59:59Z", Validity::Valid),
            ("2026-03-01T00:00:01Z", Validity::Expiring),
            ("2026-03-31T00:00:00Z", Validity::Expiring),
            ("2026-03-31T00:00:01Z", Validity::Expired),
        ] {
            assert_eq!(
                certificate.validity(now.parse().unwrap()),
                validity,
                "{now}"
            );
        }
        for (now, end) in [
            ("2026-02-28T23:59:59Z", None),
            ("2026-03-01T00:00:01Z", Some(CertificateEnd::Month)),
            ("2026-03-24T00:00:00Z", Some(CertificateEnd::Month)),
            ("2026-03-24T00:00:01Z", Some(CertificateEnd::Week)),
            ("2026-03-31T00:00:01Z", Some(CertificateEnd::Past)),
        ] {
            assert_eq!(certificate.end(now.parse().unwrap()), end, "{now}");
        }
    }
}
