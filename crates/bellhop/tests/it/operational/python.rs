//! Mail, judged by a mail server and a reader of mail that we did not write: aiosmtpd from PyPI, and Python's own
//! `email` (`pip install aiosmtpd`).
//!
//! Without it the test says that it was skipped; with `REQUIRE_PYTHON_RECEIVER=1` it fails instead.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

use bellhop::delivery::operational::Encryption;
use serde_json::{Value, json};

use crate::support::{mail_server, mail_server::Setup, operating, python};

/// Listens, says at which port, and then what it took, as JSON lines.
const SERVER: &str = r#"
import asyncio, email, email.policy, json
from aiosmtpd.smtp import SMTP

class Handler:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(json.dumps({
            "From": envelope.mail_from,
            "To": envelope.rcpt_tos,
            "Subject": mail["subject"],
            "Date": mail["date"].datetime.isoformat(),
            "MessageId": mail["message-id"],
            "ToHeader": [address.display_name for address in mail["to"].addresses],
            "Defects": [str(defect) for defect in mail.defects],
            "Text": mail.get_content(),
        }), flush=True)
        return "250 OK"

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler()), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(120)

asyncio.run(main())
"#;

struct Judge {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Judge {
    fn start() -> Self {
        let mut process = Command::new("python3")
            .args(["-c", SERVER])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_mail_server_of_others_takes_it_and_reads_it() {
    if !python::has_library("aiosmtpd", "aiosmtpd") {
        return;
    }
    let mut judge = Judge::start();
    let port = judge.line().as_u64().unwrap();
    let unused = mail_server::MailServer::start(Setup::default()).await;
    let mut mail = operating::mail_over(&unused, Encryption::None);
    mail.server.port = port.try_into().unwrap();
    mail.to[1].name = Some("Nachtschicht, Büro".into());
    let mut operating = operating::Operating::with_mail(Some(mail)).await;
    operating.sending.application = operating
        .sending
        .app
        .application("Schlüssel & Söhne 🔑")
        .await;
    operating.sending.plain_webhook().await;
    operating.answered_with("one", 410).await;
    assert_eq!(operating.send_to("Email").await["State"], "Delivered");

    let took = judge.line();
    let id = operating.listed().await[0]["MessageId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(took["From"], "bellhop@platform.example");
    assert_eq!(
        took["To"],
        json!(["ops@platform.example", "night@platform.example"])
    );
    assert_eq!(took["ToHeader"][1], "Nachtschicht, Büro");
    assert_eq!(
        took["Subject"],
        "[Bellhop] Webhook disabled: Schlüssel & Söhne 🔑"
    );
    assert_eq!(took["Date"], "2019-12-13T14:42:52+00:00");
    assert_eq!(took["MessageId"], format!("<{id}@platform.example>"));
    assert_eq!(took["Defects"], json!([]));
    let text = took["Text"].as_str().unwrap();
    assert_eq!(
        text.lines().next(),
        Some("Webhook disabled: Schlüssel & Söhne 🔑")
    );
    assert!(text.contains("The receiver answered 410 Gone."), "{text}");
}
