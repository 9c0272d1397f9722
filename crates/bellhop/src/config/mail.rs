//! The settings of mail: a mail server as a URL, and mailboxes.

use std::net::IpAddr;

use lettre::message::Mailbox;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::{
    delivery::operational::{Encryption, MailServer},
    domain::secret_text::SecretText,
};

/// Submission with TLS from the start (RFC 8314).
const TLS_PORT: u16 = 465;
/// Submission with STARTTLS (RFC 6409).
const START_TLS_PORT: u16 = 587;
/// A relay (RFC 5321).
const PLAIN_PORT: u16 = 25;

const EXPECTED: &str = "smtps://user:password@host, smtp://user:password@host (STARTTLS), or smtp://host?tls=none \
     for a relay without TLS is expected; special characters of user and password are percent-encoded";

/// A mail server. The text is a secret: an error does not repeat it.
pub(super) fn server(text: &str) -> Result<MailServer, String> {
    let url = Url::parse(text).map_err(|_| EXPECTED.to_owned())?;
    let is_bare = matches!(url.path(), "" | "/") && url.fragment().is_none();
    let (encryption, usual_port) = match (url.scheme(), url.query()) {
        ("smtps", None) => (Encryption::Tls, TLS_PORT),
        ("smtp", None) => (Encryption::StartTls, START_TLS_PORT),
        ("smtp", Some("tls=none")) => (Encryption::None, PLAIN_PORT),
        _ => return Err(EXPECTED.to_owned()),
    };
    let host = match url.host() {
        Some(Host::Domain(name)) if is_bare && !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) if is_bare => address.to_string(),
        Some(Host::Ipv6(address)) if is_bare => address.to_string(),
        _ => return Err(EXPECTED.to_owned()),
    };
    let credentials = credentials(&url)?;
    if credentials.is_some() && encryption == Encryption::None && !is_this_machine(&host) {
        return Err(
            "a user and a password never go without TLS to another machine: drop ?tls=none, or the user and password"
                .to_owned(),
        );
    }
    Ok(MailServer {
        host,
        port: url.port().unwrap_or(usual_port),
        encryption,
        credentials,
    })
}

/// One mailbox, as in `Bellhop <bellhop@example.com>`.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.trim()
        .parse()
        .map_err(|_| "an address is expected, as in Bellhop <bellhop@example.com>".to_owned())
}

/// Mailboxes with commas between; at least one.
pub(super) fn mailboxes(text: &str) -> Result<Vec<Mailbox>, String> {
    let parsed = text.parse::<lettre::message::Mailboxes>();
    let mailboxes: Vec<Mailbox> = parsed.into_iter().flatten().collect();
    if mailboxes.is_empty() {
        return Err(
            "addresses with commas between are expected, as in ops@example.com, Night <night@example.com>"
                .to_owned(),
        );
    }
    Ok(mailboxes)
}

fn credentials(url: &Url) -> Result<Option<(String, SecretText)>, String> {
    let decoded = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| EXPECTED.to_owned())
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, Some(password)) if !user.is_empty() => {
            Ok(Some((decoded(user)?, SecretText::new(decoded(password)?))))
        }
        _ => Err(EXPECTED.to_owned()),
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_server_and_how_it_is_spoken_to() {
        for (text, host, port, encryption) in [
            (
                "smtps://mail.example.com",
                "mail.example.com",
                465,
                Encryption::Tls,
            ),
            (
                "smtp://mail.example.com/",
                "mail.example.com",
                587,
                Encryption::StartTls,
            ),
            ("smtp://[::1]:2525", "::1", 2525, Encryption::StartTls),
            ("smtp://10.0.0.1?tls=none", "10.0.0.1", 25, Encryption::None),
        ] {
            let parsed = server(text).unwrap();
            assert_eq!(
                (&*parsed.host, parsed.port, parsed.encryption),
                (host, port, encryption)
            );
            assert_eq!(parsed.credentials, None);
        }
        let (user, password) = server("smtps://ops%40example.com:p%3Aw%2F@mail.example.com")
            .unwrap()
            .credentials
            .unwrap();
        assert_eq!((&*user, password.expose()), ("ops@example.com", "p:w/"));
    }

    #[test]
    fn what_is_no_mail_server_is_refused() {
        for text in [
            "mail.example.com",
            "https://mail.example.com",
            "smtp://",
            "smtp://host/path",
            "smtps://host?tls=none",
            "smtp://host?tls=opportunistic",
            "smtp://user@host",
            "smtp://:password@host",
        ] {
            assert_eq!(server(text), Err(EXPECTED.to_owned()), "{text}");
        }
        // A password in clear text goes to this machine alone.
        assert!(server("smtp://user:pw@mail.example.com?tls=none").is_err());
        assert!(server("smtp://user:pw@localhost?tls=none").is_ok());
        assert!(server("smtp://user:pw@127.0.0.1:2525?tls=none").is_ok());
    }

    #[test]
    fn mailboxes_have_addresses() {
        let named = mailboxes("ops@example.com, \"Night, shift\" <night@example.com>").unwrap();
        assert_eq!(named.len(), 2);
        assert!(mailbox("Bellhop <bellhop@example.com>").is_ok());
        for text in ["", "ops", "ops@example.com, night"] {
            assert!(mailboxes(text).is_err(), "{text}");
        }
        assert!(mailbox("a@b.example, c@d.example").is_err());
    }
}
