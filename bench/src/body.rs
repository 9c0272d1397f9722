//! The bodies: what the load sends to the API, and what the receiver gets.

use bellhop_webhook::Secret;

/// Who asks, in every command and message here.
const REQUESTOR: &str = r#"{"Name":"Front Desk","Email":"front.desk@hotel.example"}"#;

/// The secret that signs between server (or raw loop) and sink. It protects nothing.
pub fn secret() -> Secret {
    Secret::from_bytes([7; 32]).expect("32 bytes are enough for a secret")
}

/// An id of version 8 (RFC 9562: for one's own uses), different for each number.
pub fn id(kind: u8, number: u64) -> String {
    format!("{kind:08x}-0000-8000-8000-{number:012x}")
}

/// The body of a create command.
pub fn command(application_id: &str, enterprise_id: &str, number: u64) -> String {
    format!(
        r#"{{"ApplicationId":"{application_id}","EnterpriseId":"{enterprise_id}","Name":"Booking engine {number}","Requestor":{REQUESTOR}}}"#
    )
}

/// The body of the message that the command leads to, as the contract writes it.
pub fn message(number: u64) -> String {
    let integration_id = id(3, number);
    let enterprise_id = id(1, number % 16);
    let token = integration_id.replace('-', "").to_uppercase();
    format!(
        r#"{{"Action":"IntegrationCreated","Data":{{"Enterprise":{{"Id":"{enterprise_id}","Name":"{}"}},"Requestor":{REQUESTOR},"AccessToken":"{token}-00B343A0DDA725CACAC028E38E3EABF","CreatedUtc":"2019-12-13T14:42:52Z","IsEnabled":true,"Integration":{{"Id":"{integration_id}","Name":"Booking engine {number}"}}}}}}"#,
        enterprise_name(number % 16),
    )
}

/// The name of an enterprise.
pub fn enterprise_name(number: u64) -> String {
    format!("Sample Chain Hotel {number}")
}

#[cfg(test)]
mod tests {
    use bellhop_webhook::Message;

    #[test]
    fn the_message_is_the_contract_s_byte_for_byte() {
        let body = super::message(19_999);
        let message = Message::parse(body.as_bytes()).expect("a message");
        assert_eq!(message.to_bytes(), body.as_bytes());
        assert!((400..500).contains(&body.len()), "{}", body.len());
    }
}
