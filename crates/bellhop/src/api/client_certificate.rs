//! The certificate that a webhook shows to its receiver: read and judged where it is configured, so that an attempt does
//! not fail for what could have been told here.

use aws_lc_rs::digest::{SHA256, digest};
use bellhop_webhook::UtcSecond;
use jiff::Timestamp;
use rustls::{
    InconsistentKeys,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use x509_cert::{Certificate, der::Decode};

use super::{body::Object, checks::Checks, times::second};
use crate::domain::{
    authentication::{ClientCertificate, Validity},
    secret_text::SecretText,
};

/// The longest PEM, in bytes.
const MAX_PEM_BYTES: usize = 32 * 1024;
/// Most certificates on the way to an authority.
const MAX_CHAIN: usize = 10;
/// How much of a subject is kept.
const MAX_SUBJECT: usize = 500;
const CERTIFICATE: &str = "/ClientCertificate/CertificatePem";
const KEY: &str = "/ClientCertificate/PrivateKeyPem";

/// A client certificate. Its key is never shown again.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[schema(as = ClientCertificateInput)]
pub struct ClientCertificateInput {
    /// The certificate, then those that lead to its authority, PEM.
    #[schema(required, value_type = String)]
    certificate_pem: Option<String>,
    /// Its private key, PEM, not encrypted.
    #[schema(required, value_type = String)]
    private_key_pem: Option<String>,
}

/// The client certificate of a webhook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = ClientCertificate)]
pub struct ClientCertificateObject {
    /// Whom it names.
    subject: String,
    /// Until when it is valid.
    #[schema(value_type = String, format = DateTime)]
    not_after_utc: UtcSecond,
    /// SHA-256 of the certificate, hexadecimal.
    fingerprint_sha256: String,
    /// `Valid`, `Expiring` in the last 30 days, or `Expired`.
    state: &'static str,
}

/// Judges it. `None` if it is not acceptable: the checks know why.
pub fn check_certificate(
    checks: &mut Checks,
    now: Timestamp,
    Object(given): Object<ClientCertificateInput>,
) -> Option<ClientCertificate> {
    let chain = pem(checks, CERTIFICATE, given.certificate_pem);
    let key = pem(checks, KEY, given.private_key_pem);
    let ders = chain.as_deref().and_then(|pem| read_chain(checks, pem));
    let key_der = key.as_deref().and_then(|pem| read_key(checks, pem));
    let (ders, key_der) = (ders?, key_der?);
    let first = ders[0].clone();
    let Ok(certificate) = Certificate::from_der(&first) else {
        checks.invalid(CERTIFICATE, "The first certificate is not one of X.509.");
        return None;
    };
    match CertifiedKey::from_der(ders, key_der, &default_provider()) {
        Ok(_) => {}
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            checks.invalid(KEY, "The key is not that of the first certificate.");
            return None;
        }
        Err(_) => {
            checks.invalid(KEY, "A key of this kind cannot be used: RSA of 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519 is expected.");
            return None;
        }
    }
    let body = &certificate.tbs_certificate;
    let not_after = body.validity.not_after.to_unix_duration().as_secs();
    let certificate = ClientCertificate {
        subject: body.subject.to_string().chars().take(MAX_SUBJECT).collect(),
        not_after: Timestamp::from_second(not_after as i64).unwrap_or(Timestamp::MAX),
        fingerprint: hexadecimal(digest(&SHA256, &first).as_ref()),
        chain: chain?,
        key: SecretText::new(key?),
    };
    if certificate.validity(now) == Validity::Expired {
        checks.invalid(CERTIFICATE, "The certificate has expired.");
        return None;
    }
    Some(certificate)
}

fn read_chain(checks: &mut Checks, pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let ders: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match ders {
        Ok(ders) if (1..=MAX_CHAIN).contains(&ders.len()) => Some(ders),
        _ => {
            let detail = format!(
                "It is PEM with 1 to {MAX_CHAIN} certificates (-----BEGIN CERTIFICATE-----), the client's own first."
            );
            checks.invalid(CERTIFICATE, detail);
            None
        }
    }
}

fn read_key(checks: &mut Checks, pem: &str) -> Option<PrivateKeyDer<'static>> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok();
    if key.is_none() {
        checks.invalid(
            KEY,
            "It is PEM with a private key that is not encrypted (-----BEGIN PRIVATE KEY-----).",
        );
    }
    key
}

fn pem(checks: &mut Checks, pointer: &'static str, text: Option<String>) -> Option<String> {
    let is_missing = text.is_none();
    let text = checks.required(pointer, text);
    if is_missing {
        return None;
    }
    if text.len() > MAX_PEM_BYTES {
        checks.invalid(pointer, format!("It has at most {MAX_PEM_BYTES} bytes."));
        return None;
    }
    Some(text)
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl ClientCertificateObject {
    /// As it is at this moment.
    pub fn at(certificate: &ClientCertificate, now: Timestamp) -> Self {
        Self {
            subject: certificate.subject.clone(),
            not_after_utc: second(certificate.not_after),
            fingerprint_sha256: certificate.fingerprint.clone(),
            state: certificate.validity(now).as_str(),
        }
    }
}
