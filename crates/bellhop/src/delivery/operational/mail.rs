//! An operational message as mail, over SMTP. The mail server is the operator's own setting and no stranger's input,
//! so the egress guard does not judge it: it is most often on a private network.

use std::{
    error::Error as _,
    fmt, io,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        self,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::Outcome;
use crate::{
    delivery::{egress::tls_cause, sender::scrub},
    domain::{cause::Cause, operational_mail::mail_text, secret_text::SecretText},
    store::OperationalClaim,
};

/// For each step of the exchange with the mail server.
const STEP_TIMEOUT: Duration = Duration::from_secs(15);
/// For all of it.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Longer than any reply that helps.
const MAX_DETAIL: usize = 500;

/// How mail is sent.
#[derive(Debug, Clone)]
pub struct MailOptions {
    /// The mail server.
    pub server: MailServer,
    /// The sender.
    pub from: Mailbox,
    /// Who gets it; at least one.
    pub to: Vec<Mailbox>,
    /// Further certificate authorities, PEM, beside the system's.
    pub authorities: Option<Vec<u8>>,
}

/// A mail server, as a URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailServer {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub encryption: Encryption,
    /// User and password, if it wants them.
    pub credentials: Option<(String, SecretText)>,
}

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// From the first byte (`smtps://`).
    Tls,
    /// With STARTTLS, or nothing is sent (`smtp://`).
    StartTls,
    /// Not at all (`smtp://…?tls=none`).
    None,
}

/// Sends mail to the operator.
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    options: MailOptions,
}

impl Mail {
    /// Makes the sender ready. Connects to nothing yet.
    pub fn new(options: MailOptions) -> Result<Self, smtp::Error> {
        let server = &options.server;
        let tls = match server.encryption {
            Encryption::None => Tls::None,
            Encryption::Tls => Tls::Wrapper(tls_parameters(&options)?),
            Encryption::StartTls => Tls::Required(tls_parameters(&options)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port)
            .tls(tls)
            .timeout(Some(STEP_TIMEOUT))
            .hello_name(ClientId::Domain(options.from.email.domain().to_owned()));
        if let Some((user, password)) = &server.credentials {
            let password = password.expose().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Self {
            transport: builder.build(),
            options,
        })
    }

    /// Sends once, to all mailboxes together.
    pub async fn send(&self, claim: &OperationalClaim) -> Outcome {
        let mail = match self.mail(claim) {
            Ok(mail) => mail,
            Err(error) => return Outcome::failed(Cause::Internal, error.to_string()),
        };
        match tokio::time::timeout(TIMEOUT, self.transport.send(mail)).await {
            Ok(Ok(_)) => Outcome::Taken,
            Ok(Err(error)) => Outcome::failed(cause(&error), self.detail(&error)),
            Err(_) => {
                let detail = format!("the mail server took longer than {} s", TIMEOUT.as_secs());
                Outcome::failed(Cause::Timeout, detail)
            }
        }
    }

    /// The same for every attempt, `Message-ID` and `Date` too: whoever gets it twice can tell.
    fn mail(&self, claim: &OperationalClaim) -> Result<Message, lettre::error::Error> {
        let id = claim.id.message_id();
        let body = String::from_utf8_lossy(&claim.body);
        let text = mail_text(claim.about, &id, &body);
        let from = self.options.from.clone();
        let mut builder = Message::builder()
            .message_id(Some(format!("<{id}@{}>", from.email.domain())))
            .date(system_time(claim.created))
            .from(from)
            .subject(text.subject)
            .header(ContentType::TEXT_PLAIN);
        for to in &self.options.to {
            builder = builder.to(to.clone());
        }
        builder.body(text.text)
    }

    /// What the server said, without the password that it may have been told.
    fn detail(&self, error: &smtp::Error) -> String {
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let more = error.to_string();
            if !detail.contains(&more) {
                detail = format!("{detail}: {more}");
            }
            source = error.source();
        }
        let password = self.options.server.credentials.as_ref();
        let secrets: Vec<&[u8]> = password
            .iter()
            .map(|(_, password)| password.expose().as_bytes())
            .collect();
        let clean = scrub(detail.as_bytes(), &secrets);
        let clean = String::from_utf8_lossy(&clean);
        clean
            .chars()
            .map(|one| if one.is_control() { ' ' } else { one })
            .take(MAX_DETAIL)
            .collect()
    }
}

/// To the second, as a mail has it; what lies before 1970 is damaged, and becomes that.
fn system_time(at: Timestamp) -> SystemTime {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn tls_parameters(options: &MailOptions) -> Result<TlsParameters, smtp::Error> {
    let mut builder = TlsParameters::builder(options.server.host.clone());
    if let Some(authorities) = &options.authorities {
        builder = builder.add_root_certificate(Certificate::from_pem(authorities)?);
    }
    builder.build_rustls()
}

fn cause(error: &smtp::Error) -> Cause {
    if error.is_transient() {
        return Cause::MailDeferred;
    }
    if error.is_permanent() {
        return Cause::MailRejected;
    }
    if error.is_response() {
        return Cause::ProtocolError;
    }
    if error.is_client() {
        // No STARTTLS where it is required, or no way to log in that both sides know.
        let is_about_tls = error.to_string().contains("STARTTLS");
        return if is_about_tls {
            Cause::TlsFailed
        } else {
            Cause::MailRejected
        };
    }
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return of_io(error);
        }
        source = error.source();
    }
    Cause::ConnectFailed
}

fn of_io(error: &io::Error) -> Cause {
    if let Some(cause) = tls_cause(error) {
        return cause;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::ConnectRefused,
        io::ErrorKind::TimedOut => Cause::Timeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Cause::Reset,
        io::ErrorKind::UnexpectedEof => Cause::ClosedEarly,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            Cause::ConnectUnreachable
        }
        _ => Cause::ConnectFailed,
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
